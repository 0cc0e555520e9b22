"""What a node is given by other nodes, checked in one place: ComfyUI holds a value that is typed to what the widget
allows, but looks at none that comes through a link."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from comfy_api.latest import io

from ..motion_lib.errors import MotionError, shown

LONGEST_SENTENCE = 900  # characters
TENSORS = {"IMAGE": (4,), "MASK": (2, 3, 4), "LATENT": (4, 5)}  # how many dimensions each may have


def checked(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """For `execute` of a node: raises MotionError, naming the input, for a value that the node's own schema rules out.
    Whatever sentence it ends in, a text that was given to it acts on no terminal and fills no page."""

    @wraps(execute)
    def run(cls: type[io.ComfyNode], *values: Any, **named: Any) -> io.NodeOutput:
        given = inspect.signature(execute).bind(cls, *values, **named).arguments
        given |= named  # those that `execute` takes together as well
        try:
            for entry in cls.define_schema().inputs:
                if given.get(entry.id) is not None:
                    check(entry, given[entry.id])
            return execute(cls, *values, **named)
        except MotionError as error:
            raise MotionError(shown(str(error), LONGEST_SENTENCE)) from error

    return run


def check(entry: Any, value: Any) -> None:
    """entry: an input of a schema. Raises MotionError for a value that it rules out."""
    kind = entry.get_io_type()
    if kind == "COMBO" and value not in entry.options:
        raise MotionError(f"{entry.id} is {shown(value, 80)}, but it must be one of {', '.join(entry.options)}.")
    if kind in ("INT", "FLOAT"):
        low, high = (
            -float("inf") if entry.min is None else entry.min,
            float("inf") if entry.max is None else entry.max,
        )
        if not low <= value <= high:
            raise MotionError(f"{entry.id} is {shown(value, 80)}, but it must be a number from {low} to {high}.")
    if kind in TENSORS:
        tensor = value["samples"] if kind == "LATENT" else value
        if isinstance(tensor, torch.Tensor) and (
            tensor.ndim not in TENSORS[kind]
            or not tensor.numel()
            or tensor.is_complex()
            or (kind == "LATENT" and not tensor.is_floating_point())
        ):
            raise MotionError(
                f"{entry.id} has the shape {list(tensor.shape)} and the type {tensor.dtype}, which is no {kind}."
            )
