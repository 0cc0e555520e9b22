"""Models that come with the library, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class SamplingDefaults:
    """What a model generates when nothing else is asked for; width and height in pixels."""

    steps: int = 50
    guidance: float = 10.0
    frames: int = 16
    width: int = 512
    height: int = 320
    fps: float = 8.0


BUNDLED: dict[str, tuple[Path, SamplingDefaults]] = {
    "sprite_t2v": (HERE / "sprite_t2v", SamplingDefaults(steps=20, guidance=4.0, frames=16, width=128, height=128)),
    "sprite_wan": (
        HERE / "sprite_wan",
        SamplingDefaults(steps=20, guidance=4.0, frames=33, width=128, height=128, fps=16.0),
    ),
}
# Image models, which need a command or a node of their own to make videos.
BUNDLED_IMAGES: dict[str, tuple[Path, SamplingDefaults]] = {
    "sprite_image": (HERE / "sprite_image", SamplingDefaults(steps=20, guidance=4.0, frames=16, width=128, height=128)),
}
# Models that share all parts but the denoiser with another: name, and the other's name.
SHARING = {"sprite_image": "sprite_t2v"}
