"""Files appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import MotionError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, which takes its name when the block ends without an exception.

    Missing parent folders are made. When the block fails, the temporary file is removed and whatever stood at `path`
    stays as it was.

    Raises:
        MotionError: the operating system refuses to write (no permission, disk full, a folder in the way).
    """
    path = Path(path)
    # Same folder, because a rename is atomic only inside one file system; same suffix, because writers go by it. Not
    # `tempfile`, whose files nobody but their owner may read.
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MotionError(f"Cannot write {path}: {reason}; check the folder's permissions and free space.") from error
    finally:
        # A parent that is no folder has been reported above; looking into it for leftovers must not mask that.
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
