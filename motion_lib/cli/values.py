"""What can be written on a command line. Every number, text and path of every command is read here: a number is finite
and of a size that a computer can count with, a text is one that a file and a terminal can take."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

from ..errors import shown

LARGEST_WHOLE = 2**31 - 1
LARGEST_NUMBER = 1e6
LARGEST_SEED = 2**53  # whole in JSON as well
LONGEST_ERROR = 800  # characters, of which the list of choices may take many


class Parser(argparse.ArgumentParser):
    """An ArgumentParser in which `type=int`, `float` and `Path`, and no type, mean the functions below. Parsers of its
    commands are of the same kind."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        for kind, read in ((int, whole), (float, number), (Path, path), (None, text)):
            self.register("type", kind, read)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        values = super()._get_values(action, arg_strings)
        if action.nargs is None and isinstance(
            values, list
        ):  # Python before 3.13 takes --option=-- for no value at all
            raise argparse.ArgumentError(action, "expected one argument")
        return values

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {shown(message, LONGEST_ERROR)}\n")


def whole(written: str) -> int:
    return _whole(written, LARGEST_WHOLE)


def seed(written: str) -> int:
    return _whole(written, LARGEST_SEED)


def number(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_NUMBER:  # nor NaN
        raise argparse.ArgumentTypeError(
            f"'{shown(written, 40)}' is not a number from {-LARGEST_NUMBER:.0f} to {LARGEST_NUMBER:.0f}"
        )
    return value


def path(written: str) -> Path:
    return Path(text(written))


def text(written: str) -> str:
    """Nothing that ends a name too early, and no byte that is not UTF-8, which Python hands over as half a character:
    tokenizers, files and terminals take neither."""
    if "\0" in written:
        raise argparse.ArgumentTypeError(f"'{shown(written, 40)}' holds a NUL character; leave it out")
    try:
        written.encode("utf-8")
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(
            f"'{shown(written, 40)}' is not UTF-8; write it in UTF-8, or rename the file"
        ) from error
    return written


def _whole(written: str, largest: int) -> int:
    try:
        value = int(written)
    except ValueError:
        value = largest + 1
    if abs(value) > largest:
        raise argparse.ArgumentTypeError(f"'{shown(written, 40)}' is not a whole number from {-largest} to {largest}")
    return value
