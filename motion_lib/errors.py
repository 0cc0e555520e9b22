"""The one exception the library raises for bad input.

Anything a user can cause (a wrong file, a wrong option, a mismatch between a model and an embedding) raises
`MotionError` with a single sentence: what was wrong, with which file or field, and what to do about it. The command
line prints that sentence and exits with code 2; a node shows it in the graph. Everything else is a bug and keeps its
traceback.
"""

from __future__ import annotations


class MotionError(Exception):
    """Bad input, explained in one sentence that names the file or field and the remedy."""
