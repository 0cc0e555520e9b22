"""Video in and out: read any clip, check it, write it, lay clips side by side."""

from .check import ClipReport, check_clip
from .options import ClipOptions, select_indices
from .read import Clip, read_clip
from .sheet import contact_sheet, side_by_side
from .write import write_video

__all__ = [
    "Clip",
    "ClipOptions",
    "ClipReport",
    "check_clip",
    "contact_sheet",
    "read_clip",
    "select_indices",
    "side_by_side",
    "write_video",
]
