"""The process in which cases run: it imports the library once, and reports on every case by a line of JSON.

It is given, on its standard input, one JSON object a line (`argv`, `entry`, `folder`, `log`, `model`: the folder of the
model that all cases share) and answers each by one on its standard output: `code`, `trace` (of an exception that came
out), `events` (what the audit hook saw), `memory` (bytes of the peak above what the process held before), `resting`
(bytes that it holds now).
"""

from __future__ import annotations

import copy
import ctypes
import gc
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn")
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")
# Events that change files, with the places of the paths in their arguments.
CHANGES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "shutil.rmtree": (0,),
    "shutil.copyfile": (1,),
    "shutil.move": (0, 1),
}
LIBC = "libc.so.6"  # asked by motion_lib.cli.memory, and by this file


class Watch:
    """An audit hook that notes what no input may cause while a case runs, and forbids what would do harm."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.events: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        folder = self.folder
        if folder is None:
            return
        self.folder = None  # what is done to judge is not judged
        try:
            self.judge(event, arguments, folder)
        finally:
            self.folder = folder

    def judge(self, event: str, arguments: tuple[Any, ...], folder: Path) -> None:
        if event in RUNS or event in NETWORK:
            self.forbid(event, arguments[:2])
        elif event == "pickle.find_class":
            self.forbid(event, arguments)
        elif event == "ctypes.dlopen" and arguments[0] not in (None, LIBC):
            self.forbid(event, arguments)
        elif event == "exec" and of_a_file(arguments[0], folder):
            self.forbid(event, arguments[0].co_filename)
        elif event == "import" and within(arguments[1] or "", folder):
            self.forbid(event, arguments[:2])
        elif event == "open" and isinstance(arguments[0], str | bytes) and (arguments[2] or 0) & WRITING:
            self.outside(event, arguments[0], folder)
        elif event in CHANGES:
            for place in CHANGES[event]:
                self.outside(event, arguments[place], folder)

    def forbid(self, event: str, arguments: object) -> None:
        self.events.append(f"{event} {arguments!r}"[:300])
        raise PermissionError(f"a test forbids {event}")

    def outside(self, event: str, path: Any, folder: Path) -> None:
        path = os.fspath(path) if isinstance(path, os.PathLike) else path
        if isinstance(path, str | bytes) and os.fsdecode(path) != os.devnull and not within(path, folder):
            self.forbid(f"{event} outside", path)


def of_a_file(code: Any, folder: Path) -> bool:
    """Was this code compiled from a file in the folder of the case?"""
    name = getattr(code, "co_filename", "")
    return not name.startswith("<") and within(name, folder)


def within(path: str | bytes, folder: Path) -> bool:
    """Does a path, relative ones from the folder of the case, lie in it? A link that leads out does not."""
    if not path:
        return False
    parent, name = os.path.split(os.path.join(folder, os.fsdecode(path)))
    return Path(os.path.realpath(parent), name).is_relative_to(folder)


def run(command: Callable[[list[str]], int], argv: list[str]) -> tuple[int | None, str]:
    """Its exit code, or the traceback of what came out of it."""
    try:
        return command(argv), ""
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1, ""
    except BaseException:
        return None, traceback.format_exc()


def status(field: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split(f"{field}:")[1].split()[0])


class Remembered:
    """Loads a good model once for all cases, since loading takes ten times as long as what most of them do with it.
    Every case gets a copy of its own; a folder that a case made is loaded as ever."""

    def __init__(self, load: Callable[..., Any]) -> None:
        self.load, self.shared = load, ""
        self.models: dict[tuple[str, ...], Any] = {}

    def __call__(self, name: str | Path, *rest: Any) -> Any:
        if str(name) != self.shared:
            return self.load(name, *rest)
        key = (str(name), *map(str, rest))
        if key not in self.models:
            self.models[key] = self.load(name, *rest)
        return copy.deepcopy(self.models[key])


def settle(libc: Any) -> None:
    """Give back what can be given back, so that one case does not hide what the next one takes. What is left, hundreds
    of thousands of objects of the libraries, is not looked through again."""
    gc.collect()
    gc.freeze()
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    requests, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what is printed while modules are imported is no answer
    libc, watch = ctypes.CDLL(LIBC), Watch()
    import cv2  # noqa: F401 - which runs files of its own, some versions by names that look like a case's
    import torch

    from motion_lib import backbones

    torch.set_num_threads(1)
    backbones.load_model = load = Remembered(backbones.load_model)
    if sys.argv[1:]:
        importlib.import_module(sys.argv[1])
    print("ready", file=answers, flush=True)
    for line in requests:
        case = json.loads(line)
        log = os.open(case["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        # As a terminal in UTF-8 has them.
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", line_buffering=True)
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, "w", closefd=False), "utf-8", errors="backslashreplace", line_buffering=True
        )
        module, name = case["entry"].split(":")
        command = getattr(importlib.import_module(module), name)
        load.shared = case["model"]
        os.chdir(case["folder"])
        torch.manual_seed(0)
        settle(libc)
        before = status("VmRSS")
        watch.folder = Path(case["folder"])
        code, trace = run(command, case["argv"])
        watch.folder = None
        try:
            sys.stdout.flush()
        except UnicodeEncodeError:
            trace = trace or traceback.format_exc()
        sys.stderr.flush()
        events, watch.events = watch.events, []
        answer = {"code": code, "trace": trace, "events": events, "memory": status("VmHWM") - before}
        settle(libc)
        os.chdir("/")
        print(json.dumps(answer | {"resting": status("VmRSS")}), file=answers, flush=True)


if __name__ == "__main__":
    main()
