"""What may be opened for reading."""

from __future__ import annotations

import stat
from pathlib import Path

from ..errors import MotionError, shown


def regular_file(path: str | Path) -> int:
    """The size in bytes of what is to be read.

    Raises MotionError when there is nothing, or anything but a regular file: reading a pipe may wait for ever, and
    reading a device need not end.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a name that holds a NUL byte
        raise MotionError(f"{shown(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise MotionError(f"{shown(str(path))} cannot be read: Is a directory.")
    if not stat.S_ISREG(status.st_mode):
        raise MotionError(f"{shown(str(path))} is a pipe or a device: save what it gives as a file, and read that.")
    return status.st_size
