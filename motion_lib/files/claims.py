"""Who learns into a file: one process at a time, on all machines that share a folder.

A claim is a file beside the result, made so that only one process can make it, on network file systems too. Its owner
touches it while it works. The claim of a process that is gone is taken over: on the same machine one can see that the
process is gone, and on other machines one can see that nobody has touched the claim for a while.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import MotionError

TOUCHED = 15.0  # seconds between two touches of a claim
STALE = 300.0  # seconds without one; network file systems show a touch up to a minute late
ATTEMPTS = 5  # at a claim that is given up or taken over meanwhile


class Claimed(MotionError):
    """Another process is learning into the file. holder: which process, in words."""

    def __init__(self, path: Path, claim: Path, holder: str):
        super().__init__(
            f"{path} is being learned by {holder}: wait for it, or give another --out. If nothing runs there any more, "
            f"delete {claim.name} beside it."
        )
        self.holder = holder


def claim_of(path: Path) -> Path:
    """The path of the claim to a file."""
    return path.with_name(f"{path.name}.claim")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """While inside, no other process learns into `path`.

    Raises Claimed when one does already, and MotionError when no claim can be written there.
    """
    claim, mine = claim_of(path), _description()
    try:
        claim.parent.mkdir(parents=True, exist_ok=True)
        _take(path, claim, mine)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MotionError(f"Cannot write {claim}: {reason}; check the folder's permissions and free space.") from error
    over = threading.Event()
    threading.Thread(target=_keep, args=(claim, mine, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with suppress(OSError):
            if _read(claim) == mine:  # and not of a process that has taken it over
                claim.unlink()


def _take(path: Path, claim: Path, mine: bytes) -> None:
    found = b""
    for _ in range(ATTEMPTS):
        try:
            with claim.open("xb") as file:
                file.write(mine)
            return
        except FileExistsError:
            pass
        with suppress(FileNotFoundError):  # given up meanwhile
            found = _read(claim)
            if not _abandoned(claim, found):
                break
            _remove(claim, found)
    raise Claimed(path, claim, _words(found))


def _remove(claim: Path, found: bytes) -> None:
    """Take an abandoned claim away, unless another process has put its own in its place since it was read."""
    aside = claim.with_name(f".{secrets.token_hex(8)}")
    claim.rename(aside)
    try:
        if _read(aside) != found:
            with suppress(FileExistsError):
                os.link(aside, claim)
    finally:
        aside.unlink()


def _keep(claim: Path, mine: bytes, over: threading.Event) -> None:
    while not over.wait(TOUCHED):
        with suppress(OSError):
            if _read(claim) == mine:
                os.utime(claim)


def _read(claim: Path) -> bytes:
    if not claim.is_file():  # a pipe would keep one waiting
        claim.lstat()  # raises FileNotFoundError if there is nothing
        return b""
    with claim.open("rb") as file:
        return file.read(4096)


def _description() -> bytes:
    pid = os.getpid()
    return json.dumps(
        {"host": socket.gethostname(), "place": _place(), "process": pid, "started": _started(pid)}
    ).encode()


def _place() -> str:
    """Where a process number means one process: containers of one name may have numbers of their own."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's own count, since numbers are used again; None if there is no such process,
    "" where the system does not say."""
    if sys.platform.startswith("linux"):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]  # Z and X: it has ended
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass  # another user's
    return ""


def _abandoned(claim: Path, found: bytes) -> bool:
    holder = _holder(found)
    if holder.get("place") == _place() and isinstance(holder.get("process"), int):
        return _started(holder["process"]) != holder.get("started")
    return _untouched(claim) > STALE


def _untouched(claim: Path) -> float:
    """Seconds by the clock of the file system, which may be another machine's."""
    probe = claim.with_name(f".{secrets.token_hex(8)}")
    try:
        probe.touch()
        return probe.stat().st_mtime - claim.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _holder(found: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        holder = json.loads(found)
        if isinstance(holder, dict):
            return holder
    return {}


def _words(found: bytes) -> str:
    holder = _holder(found)
    host, process = holder.get("host"), holder.get("process")
    if not (isinstance(host, str) and host.isprintable() and isinstance(process, int)):
        return "another process"
    return f"process {process} on {host:.60}"
