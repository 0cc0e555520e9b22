"""A ComfyUI in the process of the worker, in which a workflow is queued as the page would queue it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch

from tests.comfyui.host import PACK

BASE = Path.home() / "comfyui"  # the worker's own home
(BASE / "custom_nodes").mkdir(parents=True, exist_ok=True)
sys.argv = ["in_comfyui", sys.argv[2], str(BASE)]  # after the name of this module, ComfyUI's folder
sys.path.insert(0, str(PACK / "tests" / "comfyui" / "inside"))

import comfy_process  # noqa: E402,F401  starts ComfyUI, with the pack in it

import execution  # noqa: E402  isort: skip
import folder_paths  # noqa: E402  isort: skip
import nodes  # noqa: E402  isort: skip

from .workflow_values import EMBEDDINGS  # noqa: E402

logging.disable(logging.CRITICAL)  # ComfyUI logs the traceback of every error, sentences included


class HostileValue:
    """A node of somebody else's, whose output is of any type."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("*",), "make", ""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"made": ("STRING", {})}}

    def make(self, made: str) -> tuple[Any]:
        value = json.loads(made)
        if not isinstance(value, dict):
            return (value,)
        tensor = torch.full(value["shape"], value["fill"]).to(getattr(torch, value["dtype"]))
        outputs = {"LATENT": {"samples": tensor}, "CONDITIONING": [[tensor, {}]]}
        return (outputs.get(value["kind"], tensor),)


nodes.NODE_CLASS_MAPPINGS["HostileValue"] = HostileValue


class Nobody:
    """In place of the server that tells a browser."""

    client_id = last_node_id = last_prompt_id = None

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        pass


# What did not change since an earlier workflow is not computed again.
EXECUTOR = execution.PromptExecutor(
    Nobody(), cache_type=execution.CacheType.LRU, cache_args={"lru": 200, "ram": 0, "ram_inactive": 0}
)


def main(arguments: list[str]) -> int:
    """Queue a graph; its folders are those of the case. Refused is what ComfyUI or the pack says no to in words."""
    (path,) = arguments
    graph, here = json.loads(Path(path).read_text()), Path.cwd()
    folder_paths.set_output_directory(str(here / "output"))
    folder_paths.set_temp_directory(str(here / "temp"))
    suffixes = folder_paths.folder_names_and_paths[EMBEDDINGS][1]
    samples = folder_paths.folder_names_and_paths[EMBEDDINGS][0][1]
    folder_paths.folder_names_and_paths[EMBEDDINGS] = ([str(here / EMBEDDINGS), samples], suffixes)
    folder_paths.filename_list_cache.clear()
    valid, error, outputs, wrong = asyncio.run(execution.validate_prompt("one", graph, None))
    for node in wrong.values():
        for reason in node["errors"]:
            if "exception_type" in reason.get("extra_info", {}):
                raise RuntimeError(f"{reason['type']}: {reason['extra_info']}")
    if not valid or wrong:
        return refused(f"ComfyUI does not queue it: {error and error['type']}")
    EXECUTOR.execute(graph, "one", {}, outputs)
    errors = [data for event, data in EXECUTOR.status_messages if event == "execution_error"]
    for data in errors:
        if data["exception_type"].endswith(".MotionError"):
            return refused(data["exception_message"].strip())
        if data["node_type"].startswith("MotionInversion") or str(PACK) in "".join(data["traceback"]):
            print("".join(data["traceback"]), file=sys.stderr)
            raise RuntimeError(f"{data['node_type']}: {data['exception_type']}: {data['exception_message']}")
        return refused(f"{data['node_type']} of ComfyUI fails.")
    return 0


def refused(sentence: str) -> int:
    print(f"motion-inversion: {sentence}", file=sys.stderr)
    return 2
