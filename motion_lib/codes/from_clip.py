"""Embeddings read of clips, with everything that their files say; and the encoders there are."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bundled.codes import CODES
from ..errors import MotionError
from ..method.embedding import Backbone, MotionEmbedding
from ..method.records import Origin
from ..training.provenance import clip_hash, place_in, thumbnail
from .codes_file import load_codes
from .likeness import recorded
from .looks import AUTO, read_clip, redrawn_by_own_model
from .reader import Reader, Reading

STEPS_FROM_CODES = 30  # of a training that begins with what was read
PRESETS = (AUTO, "object", "camera", "hybrid")


def bundled_reader(model: str, backbone: Backbone, device: torch.device | str = "cpu") -> Reader | None:
    """The encoder that comes with the library for this model, or None."""
    if model not in CODES:
        return None
    reader = load_codes(CODES[model], device)
    return reader if reader.backbone == backbone else None


def reading_of(model: str, backbone: Backbone, frames: Tensor) -> dict[str, Any]:
    """What the file of an embedding that is learned from frames uint8 `[f, h, w, 3]` should keep of their motion, to be
    found by: nothing for models without an encoder of their own."""
    reader = bundled_reader(model, backbone)
    if reader is None or reader.needs_latents or len(frames) < 2:
        return {}
    return recorded(reader, read_clip(reader, frames, redraw=redrawn_by_own_model(reader)))


def reader_of(path: str | Path | None, device: torch.device | str = "cpu") -> Reader:
    """The encoder in a file, or without one that of sprite_t2v. Raises MotionError for an unsound file."""
    return load_codes(next(iter(CODES.values())) if path is None else path, device)


def embedding_of(
    reader: Reader,
    frames: Tensor,
    source: str,
    *,
    fps: float | None = None,
    latents: Tensor | None = None,
    preset: str = AUTO,
    look: str = AUTO,
    camera: Reading | None = None,
    cameras_source: str = "",
) -> tuple[MotionEmbedding, Reading]:
    """What one pass reads of frames uint8 `[f, h, w, 3]`. latents: of them, for an encoder that needs those. preset:
    which to apply it as; auto goes by what moves. look: one of READ_LOOKS. camera: of another clip, whose camera the
    embedding is given.

    Raises MotionError for fewer than two frames.
    """
    if preset not in PRESETS:
        raise MotionError(f"preset is '{preset}', but it must be one of {', '.join(PRESETS)}.")
    reading = read_clip(reader, frames, look, latents, redrawn_by_own_model(reader))
    codes, made_of = reading.codes, reading
    if camera is not None:
        codes = reading.crossed(camera)
        made_of = replace(
            reading, codes=codes, looks=camera.looks, vectors={**reading.vectors, "camera": camera.vectors["camera"]}
        )
        source = f"{source} + camera of {cameras_source}"
    chosen = made_of.preset if preset == AUTO else preset
    embedding = reader.embedding(codes, chosen)
    origin = Origin(
        title=f"{source} ({chosen}, read in one pass)",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        thumbnail=thumbnail(frames),
        source=source,
        clip_sha256=clip_hash(frames),
        fps=None if fps is None else round(fps, 4),
        width=frames.shape[2],
        height=frames.shape[1],
        starts_at=place_in(frames, 0),
        ends_at=place_in(frames, -1),
        reading=recorded(reader, made_of),
    )
    advice = embedding.advice
    if camera is not None:  # inverted noise of the object's clip would hold the background still
        advice = replace(advice, noise_weight=0.0)
    return replace(embedding, origin=embedding.origin.merged(origin), advice=advice), made_of


def start_of(embedding: MotionEmbedding, empty: MotionEmbedding, train_debias: str) -> MotionEmbedding:
    """`empty`, which training would begin with, with what makes it act as this embedding, which was read, does: its
    tensors and, where value embeddings are learned debiased by differences, their sums over the frames.

    Raises MotionError where training would learn other tensors than were read.
    """
    if embedding.grids.keys() == empty.grids.keys():
        embedding = embedding.regrid(empty.frames, empty.grids)
    if {key: tuple(t.shape) for key, t in embedding.tensors.items()} != empty.shapes():
        raise MotionError(
            f"What is read of a clip holds {embedding.holds()} at {len(embedding.layers)} layers, but these settings "
            f"learn {empty.holds()} at {len(empty.layers)}: leave sites, components and axes as the preset object has "
            f"them and the size as the model's own, or do not start from codes."
        )
    summed = train_debias == "difference"
    return empty.with_tensors(
        {key: m.cumsum(dim=1) if summed and key.endswith(".v") else m for key, m in embedding.tensors.items()}
    )
