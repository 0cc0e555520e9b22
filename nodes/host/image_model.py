"""A bundled image model as native MODEL, CLIP and VAE: ComfyUI's own UNet, sized by the folder's configuration, so that
everything that works with Stable Diffusion works with it. The stock loaders tell models apart by sizes that so small a
one has not got."""

from __future__ import annotations

from typing import Any

import comfy.model_base
import comfy.model_management as management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch

from ...motion_lib.backbones.loading import explained, model_fields
from ...motion_lib.diffusion.schedule import NoiseSchedule
from .model import DTYPES, KINDS, VideoModelConfig, importing_diffusers, sampling_settings
from .text import load_text_encoder
from .vae import fit_previews, load_vae


class ImageModelConfig(VideoModelConfig):
    memory_usage_factor = 1.0  # of ComfyUI's estimate, as for Stable Diffusion 1.5


class _Width(int):
    """Times what, is this width: ComfyUI gives widths as multiples of the first, which those of small models need not
    be."""

    def __mul__(self, first: int) -> int:
        return int(self)

    __rmul__ = __mul__


def load_image_model(name: str) -> tuple[comfy.model_patcher.ModelPatcher, Any, Any]:
    """(MODEL, CLIP, VAE) of a bundled image model. Raises MotionError when diffusers cannot be imported."""
    opened = _open(name)
    model, clip, vae = _patcher(opened, name), load_text_encoder(opened), load_vae(opened)
    fit_previews(model.model.latent_format, opened, vae)
    return model, clip, vae


def load_image_patcher(name: str, disable_dynamic: bool = True) -> comfy.model_patcher.ModelPatcher:
    """The MODEL."""
    return _patcher(_open(name), name)


def _open(name: str) -> Any:
    with importing_diffusers():
        from ...motion_lib.frames_from_images.loading import open_image_model
    return open_image_model(name)


def _patcher(opened: Any, name: str) -> comfy.model_patcher.ModelPatcher:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    part, schedule = opened.parts.denoiser, opened.process
    assert isinstance(schedule, NoiseSchedule)
    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    size = sum(shape.numel() for shape in part.shapes().values())
    dtype = management.unet_dtype(model_params=size, supported_dtypes=DTYPES, weight_dtype=torch.float16)
    compute = management.unet_manual_cast(dtype, load_device, DTYPES)
    with explained(opened.folder, "unet"):
        fields = model_fields(UNet2DConditionModel, part)
        layout = unet_layout(fields)
        config = ImageModelConfig(
            sampling_settings(opened.parts.scheduler), opened.parts.vae.config["scaling_factor"], layout
        )
        config.set_inference_dtype(dtype, compute)
        config.custom_operations = _grouped(comfy.ops.pick_operations(dtype, compute), fields["norm_num_groups"])
        model = comfy.model_base.BaseModel(config, KINDS[schedule.prediction])
        names = comfy.utils.unet_to_diffusers(layout)
        model.diffusion_model.load_state_dict({names[theirs]: weight for theirs, weight in part.tensors()})
    patcher = comfy.model_patcher.ModelPatcher(model.to(offload_device), load_device, offload_device)
    patcher.cached_patcher_init = (load_image_patcher, (name,))
    return patcher


def unet_layout(fields: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's words for a UNet2DConditionModel in the layout of Stable Diffusion 1.5, by its fields."""
    widths, layers = fields["block_out_channels"], fields["layers_per_block"]
    down = [kind.startswith("CrossAttn") for kind in fields["down_block_types"]]
    up = [kind.startswith("CrossAttn") for kind in reversed(fields["up_block_types"])]  # ComfyUI takes the last first
    (head,) = {width // heads for width, heads in zip(widths, fields["attention_head_dim"], strict=True)}
    return {
        "image_size": fields["sample_size"],
        "in_channels": fields["in_channels"],
        "out_channels": fields["out_channels"],
        "model_channels": widths[0],
        "num_res_blocks": [layers] * len(widths),
        "channel_mult": tuple(map(_Width, widths)),
        "transformer_depth": [int(attends) for attends in down for _ in range(layers)],
        "transformer_depth_output": [int(attends) for attends in up for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": fields["use_linear_projection"],
        "context_dim": fields["cross_attention_dim"],
        "adm_in_channels": None,
        "num_heads": -1,
        "num_head_channels": head,
        "use_checkpoint": False,
        "legacy": False,
        "use_temporal_attention": False,
        "use_temporal_resblock": False,
    }


def _grouped(operations: Any, groups: int) -> Any:
    """The same layers with so many groups in each normalisation, where ComfyUI always asks for 32."""

    class GroupNorm(operations.GroupNorm):
        def __init__(self, num_groups: int, num_channels: int, *further: Any, **named: Any):
            super().__init__(groups, num_channels, *further, **named)

    return type("Grouped", (operations,), {"GroupNorm": GroupNorm})
