"""Commands that do what no input may cause, to see that each is noticed."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

KEPT: list[bytearray] = []


def refuse(*sentences: str) -> int:
    for sentence in sentences:
        print(f"motion-inversion: {sentence}", file=sys.stderr)
    return 2


def succeeds() -> int:
    return 0


def raised() -> int:
    raise ValueError("a bug")


def dies() -> int:
    os.abort()


def works_for_ever() -> int:
    while True:
        pass


def waits_for_ever() -> int:
    time.sleep(1000)
    return 0


def takes_memory() -> int:
    KEPT.append(bytearray(os.urandom(1 << 20) * 300))
    time.sleep(5)
    return 0


def takes_memory_for_a_moment() -> int:
    bytearray(os.urandom(1 << 20) * 300)
    return 0


def starts_a_program() -> int:
    return os.system("true")


def asks_the_network() -> int:
    try:
        socket.create_connection(("127.0.0.1", 9))
    except OSError:
        return 0
    return 0


def runs_a_file() -> int:
    exec(compile(Path("kept.txt").read_text(), "kept.txt", "exec"))  # noqa: S102
    return 0


def reads_a_secret() -> int:
    Path("../outside/secret.txt").read_text()
    return 0


def reads_a_secret_in_c() -> int:
    import av

    try:
        av.open("../outside/secret.txt")
    except av.error.FFmpegError:
        return 0
    return 0


def writes_outside() -> int:
    Path("../home/there").write_text("x")
    return 0


def changes_a_file() -> int:
    Path("kept.txt").write_text("x")
    return 0


def leaves_a_file() -> int:
    Path(".3f.mp4").write_text("x")
    return refuse("The file is bad.")


def paints_the_terminal() -> int:
    print("\x1b[2J")
    return 0


def prints_surrogates() -> int:
    print("\ud800")
    return 0


def complains_twice() -> int:
    return refuse("One.", "Two.")


def complains_at_length() -> int:
    return refuse("a\n" * 20)


def says_nothing() -> int:
    return 2


MISDEEDS = {
    raised: "traceback",
    dies: "traceback",
    works_for_ever: "hang",
    waits_for_ever: "hang",
    takes_memory: "memory",
    takes_memory_for_a_moment: "memory",
    starts_a_program: "code",
    asks_the_network: "network",
    runs_a_file: "code",
    reads_a_secret: "outside",
    reads_a_secret_in_c: "outside",
    writes_outside: "outside",
    changes_a_file: "lost",
    leaves_a_file: "left",
    paints_the_terminal: "words",
    prints_surrogates: "traceback",
    complains_twice: "words",
    complains_at_length: "words",
    says_nothing: "words",
}


def main(arguments: list[str]) -> int:
    (name,) = arguments
    return refuse("The name is bad.") if name == "good" else globals()[name]()
