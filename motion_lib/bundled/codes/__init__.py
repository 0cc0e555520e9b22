"""Encoders of motion codes that come with the library, by the name of the model that they make embeddings for."""

from __future__ import annotations

from pathlib import Path

CODES = {"sprite_t2v": Path(__file__).parent / "sprite_t2v.safetensors"}
