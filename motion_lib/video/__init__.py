"""Video in and out: read any clip, check it, write it, lay clips side by side.

Imported on use, because pictures of tensors need no PyAV.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Clip": "read",
    "ClipOptions": "options",
    "ClipReport": "check",
    "check_clip": "check",
    "contact_sheet": "sheet",
    "in_look": "look",
    "read_clip": "read",
    "select_indices": "options",
    "side_by_side": "sheet",
    "write_video": "write",
}

if TYPE_CHECKING:
    from .check import ClipReport, check_clip
    from .look import in_look
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
    "in_look",
    "read_clip",
    "select_indices",
    "side_by_side",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
