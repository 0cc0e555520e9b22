"""What a setting means, in one place: the docstring under the field. The command line's help and the nodes' tooltips
are made of it, and the help pages repeat it (tests/test_help.py)."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def help_of(kind: type) -> dict[str, str]:
    """The docstrings under the fields of a dataclass, each on one line; a field without one is left out."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = " ".join(text.split())
    return texts
