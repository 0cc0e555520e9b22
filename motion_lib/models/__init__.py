"""Models that come with the library, by name."""

from __future__ import annotations

from pathlib import Path

from ..backbones.model import SamplingDefaults

HERE = Path(__file__).parent

BUNDLED: dict[str, tuple[Path, SamplingDefaults]] = {
    "sprite_t2v": (HERE / "sprite_t2v", SamplingDefaults(steps=20, guidance=4.0, frames=16, width=128, height=128)),
}
