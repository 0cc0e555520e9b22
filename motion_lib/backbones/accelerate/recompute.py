"""Computing again in the backward pass what would take memory to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint


def computed_again(compute: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """`compute(*given, **named)`, which keeps nothing but its arguments and runs again in the backward pass.

    They are not handed to PyTorch's function, because that of 2.4 fails on tensors without data, on which memory is
    estimated.
    """
    return checkpoint(lambda: compute(*given, **named), use_reentrant=False, preserve_rng_state=False)
