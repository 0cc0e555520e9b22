"""The noise process that a scheduler of diffusers stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import MotionError, shown
from .flow import FLOW, FlowMatching
from .process import Process
from .schedule import DISCRETE, NoiseSchedule


def process_of(config: Mapping[str, Any], where: str = "scheduler_config.json") -> Process:
    """The process of a diffusers scheduler's configuration, recognised by its `_class_name`.

    Raises MotionError for a class that is not known, and for a field with an unknown or impossible value.
    """
    named = config.get("_class_name", DISCRETE[0])
    if named in FLOW or (named in DISCRETE and config.get("use_flow_sigmas")):
        return FlowMatching.from_config(config, where)
    if named in DISCRETE:
        return NoiseSchedule.from_config(config, where)
    raise MotionError(
        f"{where} describes a {shown(named, 80)}, which is not known: supported are schedulers of models that were "
        f"trained with discrete timesteps of noise, such as {DISCRETE[0]}, and of flow matching, such as {FLOW[0]}."
    )
