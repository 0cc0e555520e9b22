"""Small image MODELs of ComfyUI's own UNet, with random weights and the layout of Stable Diffusion 1.5, 2 and SDXL,
and how the checks ask them."""

from __future__ import annotations

from functools import lru_cache

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models as kinds
import comfy.utils
import torch
from comfy_process import pack

FRAMES, SIZE, WIDTH = 6, (8, 12), 8
CONFIG = {  # motion_lib/frames_from_images/tiny.py in ComfyUI's words
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": (1, 1, 2),
    "transformer_depth": [1, 1, 0],
    "transformer_depth_output": [1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "context_dim": WIDTH,
    "adm_in_channels": None,
    "num_heads": 8,
    "num_head_channels": -1,
    "use_checkpoint": False,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
LINEAR = {"use_linear_in_transformer": True}
SDXL = {**LINEAR, "adm_in_channels": 2816, "num_classes": "sequential"}


def node(name: str):
    return getattr(pack("nodes.frames"), name)


def built(kind: type, **changes):
    """A MODEL of one of ComfyUI's kinds, at this size."""
    small = type(kind.__name__, (kind,), {"unet_extra_config": {}})
    config = small({**CONFIG, **changes})
    config.set_inference_dtype(torch.float32, None)
    made = config.get_model({}, "", device="cpu")
    return comfy.model_patcher.ModelPatcher(made, torch.device("cpu"), torch.device("cpu"))


@lru_cache(maxsize=1)
def image_model():
    """The library's tiny UNet and the same weights as a MODEL, which keep names of their own in ComfyUI."""
    unet = pack("motion_lib.frames_from_images.tiny").tiny_unet()
    patcher = built(kinds.SD15)
    names = comfy.utils.unet_to_diffusers(CONFIG)
    stored = unet.state_dict()
    weights = {name: stored[theirs] for theirs, name in names.items() if theirs in stored}
    patcher.model.diffusion_model.load_state_dict(weights)
    assert len(weights) == len(stored)
    return unet, patcher


def patched(momentum: float, *more, to=None):
    with torch.inference_mode():
        return node("TemporalMomentumAttention").execute(to or image_model()[1], momentum, *more)[0]


def words(seed: int) -> torch.Tensor:
    return torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(seed))


def noise(frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(frames, 4, *SIZE, generator=torch.Generator().manual_seed(7))


def denoised(patcher, x, sigma, text, halves: tuple[int, ...] = (0,)) -> torch.Tensor:
    """x_0 as the MODEL sees it in a batch of these halves of guidance."""
    options = comfy.model_patcher.create_model_options_clone(patcher.model_options)["transformer_options"]
    count = len(x) // len(halves)
    level = torch.full((len(x),), float(sigma))
    options |= {"cond_or_uncond": list(halves), "sigmas": level[:1]}
    context = torch.cat([each.expand(count, -1, -1) for each in text])
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        return patcher.model.apply_model(x, level, c_crossattn=context, transformer_options=options).clone()


def sampled(patcher, start, steps: int = 3, cfg: float = 3.0, hooks=None, control=None, **extra) -> torch.Tensor:
    more = extra | ({} if hooks is None else {"hooks": hooks})
    if control is not None:
        more |= {"control": control, "control_apply_to_uncond": False}
    positive, negative = [[words(1), dict(more)]], [[words(2), dict(more)]]
    arguments = (steps, cfg, "euler", "normal", positive, negative, torch.zeros_like(start))
    with torch.inference_mode():
        return comfy.sample.sample(patcher, start, *arguments, disable_pbar=True, seed=0).clone()
