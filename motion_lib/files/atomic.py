"""Files appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MotionError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, which takes its name when the block ends without an exception.

    Missing parent folders are made, and a link stays a link: what it points to is replaced. When the block fails, the
    temporary file is removed and whatever stood at `path` stays as it was.

    Raises:
        MotionError: `path` is a folder, a device or a pipe, or the operating system refuses to write (no permission,
            disk full, a file in the way of a folder).
    """
    path = Path(path)
    with _explained(path):
        target, temporary = _places(path)
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise the MotionError of `replacing` now instead of at the end of a long computation."""
    path = Path(path)
    with _explained(path):
        _, temporary = _places(path)
        try:
            temporary.touch()
        finally:
            temporary.unlink(missing_ok=True)


def _places(path: Path) -> tuple[Path, Path]:
    """The file that is replaced, and a temporary one beside it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except ValueError as error:
        raise MotionError(f"Cannot write {str(path)!a}: no file can have this name; give another one.") from error
    if stat.S_ISDIR(mode):
        raise MotionError(f"Cannot write {path}: it is a folder; give the name of a file.")
    if not stat.S_ISREG(mode):  # a rename would put a file in its place
        raise MotionError(f"Cannot write {path}: it is a device, a pipe or a socket; give the name of a file.")
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    target.parent.mkdir(parents=True, exist_ok=True)
    # Same folder, because a rename is atomic only inside one file system; same suffix, because writers go by it. Not
    # `tempfile`, whose files nobody but their owner may read.
    return target, target.with_name(f".{secrets.token_hex(8)}{path.suffix}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise MotionError(f"Cannot write {path}: {reason}; check the folder's permissions and free space.") from error
