"""Workflows whose values no widget would give: what ComfyUI checks of what is typed, it does not check of what comes
from another node. One graph has all nodes of the pack, and is queued in a ComfyUI that runs (see in_comfyui.py)."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

from motion_lib.bundled.samples import SAMPLES
from tests.comfyui.host import find_host

from .assets import Assets
from .judge import Case

WORKER = ("-m", "tests.hostile.worker", "tests.hostile.in_comfyui")
HOST = find_host()
MISSING, COMMAND = (HOST, ()) if isinstance(HOST, str) else ("", (str(HOST[1]), *WORKER, str(HOST[0])))

SEEDS = 8
EMBEDDINGS = "motion_embeddings"  # what the folder of the case has in place of ComfyUI's models, output and temp
MADE = (f"{EMBEDDINGS}/*", "output/*", "temp/*")
WHOLE = (-1, 0, 1, 2, 3, 5, 7, 17, 513, 5000, 100_001, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64)
ODD = tuple(map(float, ("nan", "inf", "-inf")))
NUMBERS = (-1.0, -0.0, 0.0, 1e-320, 1e-9, 0.3, 1.0, 1.5, 5.0, 41.0, 1e6, 1e38, 1e300, -1e300, *ODD)
TEXTS = (
    *("", " ", "x", "a\0b", "\ud800", "\x1b]0;x\x07", "a\nb", "x" * 300, "x" * 100_000, "\u202e", "%s%n", "{0}"),
    *(".", "..", "/"),
    *("../../outside/secret.txt", "/etc/passwd", "../outside/x", "sub/x", "x/" * 3000, "~", "con"),
    *("up_blocks.*", "*" * 400, "[", ",,,", "deep, nothing", "all", "none", "0:1,1:0", "1:0,0:1", "0:nan", "0:1e400"),
    *("no", "2", "as preset", "camera", "sprite_t2v", "figure_eight.mp4", "<img src=x onerror=alert(1)>"),
)
SHAPES = {  # of tensors, by the output that they stand for
    "IMAGE": ([0, 64, 64, 3], [1, 64, 64, 3], [4, 64, 64, 1], [4, 64, 64, 4], [4, 1, 1, 3], [4, 0, 64, 3],
              [3, 40, 9, 3], [64, 64, 3], [4, 64, 64, 3], [600, 8, 8, 3], [2, 2000, 2000, 3]),
    "LATENT": ([0, 4, 8, 8], [1, 4, 8, 8], [4, 4, 8, 8], [4, 16, 8, 8], [4, 4, 1, 1], [4, 4, 0, 0],
               [4, 4, 9, 7], [1, 4, 4, 8, 8], [2, 4, 4, 8, 8], [8, 8], [600, 4, 2, 2], [4, 3, 8, 8]),
    "MASK": ([0, 64, 64], [1, 64, 64], [4, 64, 64], [3, 64, 64], [64, 64], [1, 1, 1], [1, 0, 0], [1, 1, 64, 64]),
    "CONDITIONING": ([1, 32, 8], [1, 0, 8], [1, 5, 9], [2, 5, 8], [5, 8], [0, 5, 8], [1, 3000, 8]),
}  # fmt: skip
FILLS = (0.0, 0.0, 0.5, 1.0, -7.0, 1e30, *ODD)
DTYPES = ("float32", "float32", "float32", "float16", "float64", "uint8", "int64", "bool", "complex64")
KINDS = {("latent", 0): "LATENT", ("empty", 0): "LATENT", ("invert", 0): "LATENT", ("frames", 0): "IMAGE",
         ("decoded", 0): "IMAGE", ("mask", 0): "MASK", ("text", 0): "CONDITIONING", ("frames", 1): "FLOAT"}  # fmt: skip

Graph = dict[str, dict[str, Any]]


def graph() -> Graph:
    """A workflow in the API's format that succeeds, every input of the pack's nodes written down."""
    model, latent, frames, text = ["model", 0], ["latent", 0], ["frames", 0], ["text", 0]
    sampled = {"sampler": ["sampler", 0], "sigmas": ["sigmas", 0], "latent_image": ["empty", 0]}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "model": ("MotionInversionLoadModel", {"model": "sprite_t2v"}),
        "clip": ("MotionInversionSampleClip", {"clip": "camera_pan.mp4"}),
        "frames": ("MotionInversionPrepareClip", {
            "clip": ["clip", 0], "frames": 4, "width": 64, "height": 64, "force_rate": 0.0, "skip_first_frames": 0,
            "select_every_nth": 1, "fit": "crop", "image_rate": 8.0}),
        "latent": ("VAEEncode", {"pixels": frames, "vae": ["model", 2]}),
        "text": ("CLIPTextEncode", {"clip": ["model", 1], "text": "a bar"}),
        "mask": ("SolidMask", {"value": 1.0, "width": 64, "height": 64}),
        "empty": ("LatentMultiply", {"samples": latent, "multiplier": 0.0}),
        "options": ("MotionInversionTrainingOptions", {
            "learning_rate": 0.0, "loss": "as preset", "components": "as preset", "train_debias": "as preset",
            "lr_schedule": "as preset", "integration": "as preset", "qk_axes": "as preset", "v_axes": "as preset",
            "sites": "", "motion_mask": -1.0, "timestep_bias": -1.0, "save_memory": "auto", "reuse": True}),
        "train": ("MotionInversionTrain", {
            "model": model, "positive": text, "latent": latent, "preset": "object", "steps": 1, "seed": 0,
            "vae": ["model", 2], "frames": frames, "frame_rate": ["frames", 1], "region": ["mask", 0],
            "options": ["options", 0]}),
        "apply": ("MotionInversionApplyAdvanced", {
            "model": model, "motion_embedding": ["train", 0], "strength_qk": 1.0, "strength_v": 1.0,
            "debias": "vanilla", "start_percent": 0.0, "end_percent": 1.0, "sites": "", "strength_curve": "0:1, 1:0",
            "frame_curve": "0:0, 0.5:1"}),
        "invert": ("MotionInversionInvert", {
            "model": model, "latent": latent, "steps": 1, "conditioning": text, "refinements": 0}),
        "mix": ("MotionInversionMixNoise", {
            "model": model, "inverted_noise": ["invert", 0], "weight": 0.5, "noise_seed": 0, "method": "blend",
            "renormalise": True}),
        "camera": ("MotionInversionCameraMotion", {"images": frames}),
        "held": ("MotionInversionApplyCameraMotion", {
            "model": ["apply", 0], "camera_motion": ["camera", 0], "amount": 1.0, "strength": 1.0,
            "start_percent": 0.0, "end_percent": 0.9, "reference_latent": latent, "prompt_emphasis": 1.0}),
        "camera noise": ("MotionInversionCameraNoise", {
            "model": model, "camera_motion": ["camera", 0], "latent": ["empty", 0], "noise_seed": 0, "amount": 1.0}),
        "edit": ("MotionInversionEditEmbedding", {
            "motion_embedding": ["train", 0], "mirror": "horizontal", "reverse": True, "speed": 1.0, "loop": "none",
            "factor": 1.0, "region": ["mask", 0], "inverted_noise": ["invert", 0]}),
        "combine": ("MotionInversionCombineEmbeddings", {
            "a": ["edit", 0], "b": ["load", 0], "method": "blend", "weight": 0.5}),
        "save": ("MotionInversionSaveEmbedding", {
            "motion_embedding": ["combine", 0], "name": "mine", "title": "t", "author": "a", "license": "l",
            "preview": frames, "compress": "no"}),
        "load": ("MotionInversionLoadEmbedding", {"name": "figure_eight.safetensors", "model": model}),
        "apply usual": ("MotionInversionApply", {
            "model": ["held", 0], "motion_embedding": ["combine", 0], "strength": 1.0}),
        "sampler": ("KSamplerSelect", {"sampler_name": "ddim"}),
        "sigmas": ("BasicScheduler", {"model": model, "scheduler": "simple", "steps": 1, "denoise": 1.0}),
        "guider": ("BasicGuider", {"model": ["apply usual", 0], "conditioning": text}),
        "samples": ("SamplerCustomAdvanced", {"noise": ["mix", 0], "guider": ["guider", 0], **sampled}),
        "samples of the camera": ("SamplerCustomAdvanced", {
            "noise": ["camera noise", 0], "guider": ["guider", 0], **sampled}),
        "decoded": ("VAEDecode", {"samples": ["samples", 0], "vae": ["model", 2]}),
        "report": ("MotionInversionReport", {
            "reference": frames, "generated": ["decoded", 0], "without": frames, "prompt": "a red circle",
            "draw_tracks": True}),
        "seen": ("LatentMultiply", {"samples": ["samples of the camera", 0], "multiplier": 1.0}),
        "shown": ("VAEDecode", {"samples": ["seen", 0], "vae": ["model", 2]}),
        "preview": ("PreviewImage", {"images": ["shown", 0]}),
    }  # fmt: skip
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [queued("valid", graph(), folder)]


def queued(name: str, nodes: Graph, folder: Path) -> Case:
    (folder / EMBEDDINGS).mkdir()
    shutil.copy(SAMPLES["figure_eight"].path.with_suffix(".safetensors"), folder / EMBEDDINGS)
    (folder / "graph.json").write_text(json.dumps(nodes))
    return Case(name, ("graph.json",), writes=MADE, leaves=MADE, entry="tests.hostile.in_comfyui:main")


def case(seed: int, folder: Path, assets: Assets) -> Case:
    """One to three inputs of the pack's nodes have another value."""
    chance = random.Random(f"workflow values {seed}")
    nodes, told = graph(), []
    places = [
        (name, field)
        for name, node in nodes.items()
        for field, value in node["inputs"].items()
        if node["class_type"].startswith("MotionInversion") and (not isinstance(value, list) or tuple(value) in KINDS)
    ]
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        name, field = chance.choice(places)
        value = evil(chance, graph()[name]["inputs"][field])
        told.append(f"{name}.{field} {json.dumps(value)[:60]}")
        if isinstance(value, dict) or chance.random() < 0.8:
            # Out of another node, where ComfyUI looks at no value.
            nodes[f"evil {number}"] = {"class_type": "HostileValue", "inputs": {"made": json.dumps(value)}}
            value = [f"evil {number}", 0]
        nodes[name]["inputs"][field] = value
    return queued(", ".join(told), nodes, folder)


def evil(chance: random.Random, good: Any) -> Any:
    """A value of the same type. What is no number and no text is said by how it is made."""
    if isinstance(good, bool):
        return not good
    if isinstance(good, list) and KINDS[tuple(good)] != "FLOAT":
        kind = KINDS[tuple(good)]
        shape = copy.copy(chance.choice(SHAPES[kind]))
        return {"kind": kind, "shape": shape, "fill": chance.choice(FILLS), "dtype": chance.choice(DTYPES)}
    return chance.choice({int: WHOLE, str: TEXTS}.get(type(good), NUMBERS))
