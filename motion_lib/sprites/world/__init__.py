"""The wide world: clips of more than the sprites' own look, for models that must not be surprised by somebody's clip.

Backgrounds of any colour, gradients, textures at any contrast, fractal noise and photographs; polygons, blobs, hinged
figures and textured objects, one or two at once, that squash and stretch; light and shadow that change; a camera before
two layers of depth. Motion, camera and looks are parts of their own, so that the same motion can be rendered in two
looks, or two objects' paths with two cameras (`dataclasses.replace`), and the truth of every clip is at hand.
"""

from .bodies import BODIES, Body, Motion
from .draw import foreign_worlds, random_worlds
from .paint import FOREIGN_PAINTS, PAINTS, Paint
from .photos import load_photos
from .render import render_world
from .scene import Camera, Depth, Light, World, from_scenes

__all__ = [
    "BODIES",
    "FOREIGN_PAINTS",
    "PAINTS",
    "Body",
    "Camera",
    "Depth",
    "Light",
    "Motion",
    "Paint",
    "World",
    "foreign_worlds",
    "from_scenes",
    "load_photos",
    "random_worlds",
    "render_world",
]
