"""The command line: `motion-inversion demo | train | read | find | generate | imagine | edit | inspect | convert |
evaluate | report | benchmark`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import MotionError, shown
from ..training.interrupts import as_interrupts
from . import benchmark, convert, demo, edit, evaluate, find, generate, imagine, inspect, read, report, train
from .memory import keep_freed_memory
from .values import Parser

LONGEST_SENTENCE = 900  # characters of an error, whatever a file has put into it
COMMANDS = {
    "demo": demo,
    "train": train,
    "read": read,
    "find": find,
    "generate": generate,
    "imagine": imagine,
    "edit": edit,
    "inspect": inspect,
    "convert": convert,
    "evaluate": evaluate,
    "report": report,
    "benchmark": benchmark,
}


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="motion-inversion",
        description="Learn the motion of one video and give it to others. Start with: motion-inversion demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        assert module.__doc__
        summary = module.__doc__.split("\n\n")[0].replace("\n", " ")
        sub = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 2 bad input (explained in one sentence), 130 interrupted by
    Ctrl-C, 143 by SIGTERM, 129 by SIGHUP."""
    try:
        options = build_parser().parse_args(arguments)
        keep_freed_memory()
        with as_interrupts():
            options.run(options)
    except MotionError as error:
        return _complain(str(error))
    except OSError as error:
        if error.filename is None:  # else a name that is too long, or a folder that may not be looked into
            raise
        return _complain(f"{shown(str(error.filename))} cannot be used: {error.strerror}; check the path.")
    except MemoryError as error:
        return _complain(f"Not enough memory{f' ({error})' if str(error) else ''}: use fewer frames or a smaller size.")
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return _complain("Not enough memory on the device: use fewer frames, a smaller size, or --device cpu.")
    except KeyboardInterrupt as error:
        print("Interrupted.", file=sys.stderr)
        return 128 + getattr(error, "number", signal.SIGINT)
    return 0


def _complain(sentence: str) -> int:
    print(f"motion-inversion: {shown(sentence, LONGEST_SENTENCE)}", file=sys.stderr)
    return 2
