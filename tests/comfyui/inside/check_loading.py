"""How the pack is loaded, and what it says to bad input."""

from __future__ import annotations

import types
from pathlib import Path

import torch
from comfy_process import BASE, IMPORTED, latents, model, pack


def import_time() -> dict:
    return dict(IMPORTED)


def _of_other_widths():
    """An embedding for a model like the bundled one, twice as wide."""
    lib, ours = pack("motion_lib.embedding"), model()[0].model.diffusion_model.backbone
    layers = tuple(lib.TemporalLayer(layer.name, 2 * layer.channels, layer.depth, layer.block) for layer in ours.layers)
    return lib.MotionEmbedding.zeros(lib.Backbone(ours.family, layers), "deep", 4, (16, 16))


def errors() -> dict:
    """The sentences of bad input."""
    found = {}
    load, embed = pack("nodes.host.model"), pack("nodes.embedding")
    folders, host, kind = pack("nodes.host.folders"), pack("nodes.host.denoiser"), pack("motion_lib.patch").MotionPatch
    attempts = {
        "no folder": lambda: load.load_model(Path(BASE) / "nowhere"),
        "wrong shape": lambda: host.video_latents(
            model()[0], {"samples": torch.zeros(2, 16, 4, 4)}, torch.device("cpu")
        ),
        "no conditioning": lambda: host.text_embedding(model()[0], [], torch.device("cpu")),
        "clean noise": lambda: pack("nodes.noise").MixedNoise(latents(), 0.5, 0, "blend"),
        "gone": lambda: embed.LoadMotionEmbedding.execute("gone.safetensors"),
        "outside": lambda: folders.new_embedding_path("../../outside"),
        "other model": lambda: host.backbone_of(types.SimpleNamespace(model=object())),
        "other widths": lambda: pack("nodes.apply").patched(model()[0], kind(_of_other_widths())),
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
    return found
