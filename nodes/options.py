"""Every other setting of training."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .checks import checked
from .choices import Options, option_inputs
from .schema import TrainingOptionsType, schema


class TrainingOptions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "TrainingOptions",
            display_name="Training Options",
            description="Changes how Train Motion Embedding learns. Every setting starts out as the preset has it.",
            search_aliases=["learning rate", "motion loss", "motion training settings"],
            inputs=option_inputs(),
            outputs=[
                TrainingOptionsType.Output(
                    display_name="options", tooltip="Connect this to options of Train Motion Embedding."
                )
            ],
        )

    @classmethod
    @checked
    def execute(cls, save_memory: str = "auto", reuse: bool = True, **choices: Any) -> io.NodeOutput:
        return io.NodeOutput(Options(choices, save_memory, reuse))
