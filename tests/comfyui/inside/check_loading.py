"""How the pack is loaded, and what it says to bad input."""

from __future__ import annotations

import os
import types
from pathlib import Path

import torch
from comfy_process import BASE, IMPORTED, latents, model, pack

SECRET = Path(BASE) / "secret.mp4"  # outside every folder that ComfyUI may read

ONE_CLIP = torch.zeros(1, 4, 2, 4, 4)


def import_time() -> dict:
    return dict(IMPORTED)


def _of_other_widths():
    """An embedding for a model like the bundled one, twice as wide."""
    lib, ours = pack("motion_lib.method.embedding"), model()[0].model.diffusion_model.backbone
    layers = tuple(lib.Site(layer.name, 2 * layer.channels, layer.depth, layer.block) for layer in ours.layers)
    return lib.MotionEmbedding.zeros(lib.Backbone(ours.family, layers), "deep", 4, (16, 16))


def errors() -> dict:
    """The sentences of bad input."""
    found = {}
    SECRET.write_bytes((pack("nodes.host.folders").SAMPLES / "camera_pan.mp4").read_bytes())
    load, embed = pack("nodes.host.model"), pack("nodes.embedding")
    folders, host = pack("nodes.host.folders"), pack("nodes.host.kinds")
    kind = pack("motion_lib.method.patch").MotionPatch
    attempts = {
        "no folder": lambda: load.load_model(Path(BASE) / "nowhere"),
        "wrong shape": lambda: host.kind_of(model()[0]).latents(
            {"samples": torch.zeros(2, 16, 4, 4)}, torch.device("cpu")
        ),
        "no conditioning": lambda: host.kind_of(model()[0]).conditioning([], ONE_CLIP, torch.device("cpu")),
        "clean noise": lambda: pack("nodes.noise").MixedNoise(latents(), 0.5, 0, "blend"),
        "gone": lambda: embed.LoadMotionEmbedding.execute("gone.safetensors"),
        "outside": lambda: folders.new_embedding_path("../../outside"),
        "absolute": lambda: folders.new_embedding_path("/outside"),
        "NUL": lambda: folders.new_embedding_path("out\0side"),
        "half a character": lambda: folders.new_embedding_path("\ud800"),
        "embedding outside": lambda: embed.LoadMotionEmbedding.execute(str(SECRET)),
        "embedding above": lambda: embed.LoadMotionEmbedding.execute("../../../../secret.safetensors"),
        "clip outside": lambda: pack("nodes.clip").SampleClip.execute(str(SECRET)),
        "clip above": lambda: pack("nodes.clip").SampleClip.execute(os.path.relpath(SECRET, folders.SAMPLES)),
        "model outside": lambda: pack("nodes.load").LoadMotionVideoModel.execute(str(folders.BUNDLED["sprite_t2v"][0])),
        "other model": lambda: host.kind_of(types.SimpleNamespace(model=object())),
        "other widths": lambda: pack("nodes.apply").patched(model()[0], kind(_of_other_widths())),
        "no rate": lambda: pack("nodes.clip").PrepareReferenceClip.execute(
            torch.zeros(4, 32, 32, 3), 2, 32, 32, 0.0, 0, 1, "crop", 0.0
        ),
        "beyond memory": lambda: pack("nodes.clip").PrepareReferenceClip.execute(
            torch.zeros(4, 32, 32, 3), 512, 4096, 4096, 0.0, 0, 1, "crop"
        ),
        "no choice": lambda: embed.SaveMotionEmbedding.execute(None, "mine", "", "", "", compress=".."),
        "no text": lambda: pack("nodes.noise").MixInversionNoise.execute(None, None, 0.5, 0, "x\x1b[2J" * 3000),
        "no share": lambda: pack("nodes.apply").ApplyMotionEmbeddingAdvanced.execute(
            None, None, 1.0, 1.0, "vanilla", 0.0, float("nan")
        ),
        "no frames": lambda: pack("nodes.noise").InvertVideoToNoise.execute(
            None, {"samples": torch.zeros(0, 4, 8, 8)}, 1
        ),
        "no region": lambda: pack("nodes.edit").EditMotionEmbedding.execute(
            None, "none", False, 1.0, "none", 1.0, torch.zeros(1, 0, 0)
        ),
        "other text": lambda: host.kind_of(model()[0]).conditioning(
            [[torch.zeros(1, 5, 9), {}]], ONE_CLIP, torch.device("cpu")
        ),
        "short clip": lambda: pack("nodes.clip").PrepareReferenceClip.execute(
            torch.zeros(4, 32, 32, 3), 16, 32, 32, 0.0, 0, 1, "crop"
        ),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = "no error"
        except pack("motion_lib.errors").MotionError as error:
            found[name] = str(error)
    # Before a graph runs, nobody knows what comes from another node.
    found["linked"] = pack("nodes.apply").ApplyMotionEmbeddingAdvanced.validate_inputs(0.9, None)
    return found
