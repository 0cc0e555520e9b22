"""The one exception the library raises for bad input.

Anything a user can cause (a wrong file, a wrong option, a mismatch between a model and an embedding) raises
`MotionError` with a single sentence: what was wrong, with which file or field, and what to do about it. The command
line prints that sentence and exits with code 2; a node shows it in the graph. Everything else is a bug and keeps its
traceback.

Such sentences, terminals and logs also show what strangers wrote: titles, names and keys of a file from anywhere. There
a line break, a control character or a reversed direction of writing would act instead of being read, so all of it goes
through `shown`.
"""

from __future__ import annotations

import json
import reprlib
import unicodedata

LIMIT = 200  # characters
JOINERS = "\u200c\u200d"  # invisible, harmless, and needed by Persian, Hindi and many emojis

_values = reprlib.Repr()
_values.maxlevel, _values.maxdict, _values.maxlist, _values.maxtuple, _values.maxstring = 4, 16, 8, 8, 100


class MotionError(Exception):
    """Bad input, explained in one sentence that names the file or field and the remedy."""


def shown(value: object, limit: int = LIMIT) -> str:
    """A text, or another value as Python writes it, on one line of at most `limit` characters, all of them visible."""
    text = value if isinstance(value, str) else _values.repr(value)
    visible = printable(text[: limit + 1])
    return visible if len(visible) <= limit else f"{visible[: limit - 1]}…"


def printable(text: str) -> str:
    """The text with everything that is not visible written as an escape of JSON, such as \\n, \\u001b or \\u202e; JSON
    stays the same JSON."""
    return text if text.isprintable() else "".join(c if _visible(c) else json.dumps(c)[1:-1] for c in text)


def well_formed(text: str) -> str:
    """The text with halves of surrogate pairs, which no file and no terminal can take, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _visible(character: str) -> bool:
    return character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"
