"""Which files of a folder are opened, by whatever means: libraries in C are not seen by Python's audit hooks."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

IN_ACCESS, IN_OPEN, IN_NONBLOCK, IN_ISDIR = 0x1, 0x20, 0o4000, 0x40000000  # of <sys/inotify.h>


class Opened:
    """`with Opened(folder) as opened:` then `opened.names` has every file in it that was opened meanwhile."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.names: set[str] = set()

    def __enter__(self) -> Opened:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(IN_NONBLOCK)
        watched = libc.inotify_add_watch(self.descriptor, os.fsencode(self.folder), IN_OPEN | IN_ACCESS)
        if self.descriptor < 0 or watched < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            data = os.read(self.descriptor, 1 << 20)
        except BlockingIOError:
            data = b""
        os.close(self.descriptor)
        at = 0
        while at < len(data):
            _, mask, _, length = struct.unpack_from("iIII", data, at)
            name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode(errors="replace")
            if name and not mask & IN_ISDIR:
                self.names.add(name)
            at += 16 + length
