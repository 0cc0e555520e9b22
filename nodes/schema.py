"""Describing nodes so that every supported ComfyUI understands: what an older one does not know is left out, because
a single unknown argument would drop the whole pack there."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from comfy_api.latest import io

CATEGORY = "motion inversion"

MotionEmbeddingType = io.Custom("MOTION_EMBEDDING")
LossMapType = io.Custom("LOSS_MAP")
TrainingOptionsType = io.Custom("MOTION_TRAINING_OPTIONS")


def schema(node_id: str, **arguments: Any) -> io.Schema:
    """io.Schema with the pack's prefix and category."""
    known = {field.name for field in fields(io.Schema)}
    arguments = {"category": CATEGORY, **arguments}
    return io.Schema(
        node_id=f"MotionInversion{node_id}", **{name: value for name, value in arguments.items() if name in known}
    )


def advanced(kind: Any, name: str, **arguments: Any) -> io.Input:
    """An input that may be left out, and that newer versions of ComfyUI fold away until the user asks for it."""
    if "advanced" in inspect.signature(kind.Input).parameters:
        arguments["advanced"] = True
    return kind.Input(name, optional=True, **arguments)


def moved(inputs: list[io.Input]) -> list[io.Input]:
    """Inputs that another node has taken over: graphs that still give them mean what they meant, but the page shows
    only those that a workflow sets to something (see web/moved_inputs.js)."""
    for given in inputs:
        given.optional = True
        given.extra_dict = {**given.extra_dict, "hidden": True}
    return inputs


def in_order(start_percent: float | None, end_percent: float | None) -> bool | str:
    """What validate_inputs says of a part of sampling. None is what comes from another node and is not known yet."""
    if start_percent is not None and end_percent is not None and start_percent > end_percent:
        return f"start_percent is {start_percent}, but it must not be above end_percent, which is {end_percent}."
    return True
