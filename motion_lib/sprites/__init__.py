"""Sprites: rendered clips whose true motion is known, and the checker that reads them back.

One coloured shape moves on a muted background; the camera may move too. The clips train the bundled text-to-video model
`sprite_t2v`, serve as references whose path is known exactly, and give every caption a verifiable meaning.
"""

from .checker import SYMMETRY, FrameVerdict, check_frames, object_angle, object_area, object_path
from .render import render
from .scene import Scenes, concatenate, random_scenes
from .vocabulary import COLOURS, SHAPES, TEXTURES, TONES, Words, caption, parse_caption

__all__ = [
    "COLOURS",
    "SHAPES",
    "SYMMETRY",
    "TEXTURES",
    "TONES",
    "FrameVerdict",
    "Scenes",
    "Words",
    "caption",
    "check_frames",
    "concatenate",
    "object_angle",
    "object_area",
    "object_path",
    "parse_caption",
    "random_scenes",
    "render",
]
