"""A MODEL of Wan of ComfyUI's own class beside the library's, for the checks: random weights, as small as the class
lets it be."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models
import torch
from comfy_process import pack
from safetensors.torch import save_file

FRAMES, SIZE, TEXT = 3, (5, 6), 24  # the sides of the latents are odd as well
CONFIG = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 256,
    "num_heads": 2,
    "ffn_dim": 64,
    "num_layers": 6,
    "text_dim": TEXT,
    "in_dim": 36,
    "out_dim": 16,
}


@lru_cache(maxsize=1)
def models():
    """The same weights as a MODEL and as the library's denoiser."""
    torch.manual_seed(0)
    made = pack("motion_lib.sprites.recipe.wan.dit").Transformer(256, 64, 6, TEXT)
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.02 * torch.randn_like(parameter)
    config = comfy.supported_models.WAN21_T2V(dict(CONFIG))
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode():  # as the executor does
        model = config.get_model({}, "", device="cpu")
        model.diffusion_model.load_state_dict(made.state_dict())
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wan.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()}, file)
        part = pack("motion_lib.backbones.wan.single_file").transformer_part(file)
        process = pack("motion_lib.diffusion.flow").FlowMatching(1000, 8.0)
        denoiser = pack("motion_lib.backbones.wan.denoiser").load(part, process, torch.device("cpu"), torch.float32)
    return patcher, denoiser


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def embedding(seed: int = 1, components: str = "both", **choices: str):
    kind, backbone = pack("motion_lib.method.embedding").MotionEmbedding, models()[1].backbone
    zeros = kind.zeros(backbone, "middle", FRAMES, SIZE, components, **choices)
    return zeros.with_tensors(
        {k: 0.5 * draw(*t.shape, seed=seed + i) for i, (k, t) in enumerate(zeros.tensors.items())}
    )


def patch(*given, **named):
    return pack("motion_lib.method.patch").MotionPatch(*given, **named)


def velocity(model, x: torch.Tensor, level: float, text: torch.Tensor) -> torch.Tensor:
    options = dict(model.model_options["transformer_options"])
    wrappers = options.setdefault("wrappers", {})
    comfy.patcher_extension.merge_nested_dicts(wrappers, model.wrappers, copy_dict1=False)
    sigma = torch.full((len(x),), level)
    given = torch.zeros(len(x), 20, *x.shape[2:])
    with torch.no_grad():
        clean = model.model.apply_model(x, sigma, c_concat=given, c_crossattn=text, transformer_options=options)
    return (x - clean) / level


def told(text: torch.Tensor, **more) -> list:
    return [[text, more]]


def whole(check):
    """Nothing of it where diffusers is too old for Wan, and one sentence where ComfyUI is too old to learn with it."""

    def checked() -> dict:
        try:
            pack("motion_lib.backbones.wan")
        except pack("motion_lib.errors").MotionError as error:
            return {"skipped": str(error)}
        try:
            return check()
        except pack("motion_lib.errors").MotionError as error:
            if hasattr(comfy.model_management, "in_training"):
                raise
            return {"too_old": str(error)}

    checked.__name__ = check.__name__
    return checked
