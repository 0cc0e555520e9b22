"""What else there is to choose about training."""

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
            description="Changes what a preset does while Train Motion Embedding learns. Everything begins as the "
            "preset has it.",
            search_aliases=["learning rate", "motion loss", "motion training settings"],
            inputs=option_inputs(),
            outputs=[
                TrainingOptionsType.Output(display_name="options", tooltip="Connect it to Train Motion Embedding.")
            ],
        )

    @classmethod
    @checked
    def execute(cls, save_memory: str = "auto", reuse: bool = True, **choices: Any) -> io.NodeOutput:
        return io.NodeOutput(Options(choices, save_memory, reuse))
