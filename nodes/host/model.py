"""A text-to-video model in diffusers layout as native MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.model_patcher
import comfy.supported_models_base
import torch

from ...motion_lib.errors import MotionError
from ...motion_lib.schedule import NoiseSchedule
from .parts import read_json, variant, weights
from .text import load_text_encoder
from .vae import fit_previews, load_vae

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
MEMORY_FACTOR = (
    2.0  # of ComfyUI's estimate per latent pixel; Stable Diffusion 1.5 has 1, and this adds the temporal half
)
BETA_SCHEDULES = {"scaled_linear": "linear", "linear": "sqrt_linear"}  # diffusers' word: ComfyUI's


class VideoModelConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks of a model before it exists."""

    unet_extra_config: ClassVar[dict] = {}
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = MEMORY_FACTOR
    supported_inference_dtypes = DTYPES
    optimizations: ClassVar[dict] = {"fp8": False}

    def __init__(self, sampling_settings: Mapping[str, Any], scaling_factor: float):
        super().__init__({"disable_unet_model_creation": True})
        self.sampling_settings = dict(sampling_settings)
        self.latent_format.scale_factor = scaling_factor


class MotionVideoModel(comfy.model_base.BaseModel):
    """ComfyUI's model around the UNet. `source` names the files it came from; `spacing` and `steps_offset` are the
    timesteps its own scheduler takes."""

    def __init__(self, config: VideoModelConfig, unet: Any, schedule: NoiseSchedule, folder: Path):
        kinds = {"epsilon": comfy.model_base.ModelType.EPS, "v_prediction": comfy.model_base.ModelType.V_PREDICTION}
        super().__init__(config, kinds[schedule.prediction])
        self.diffusion_model = unet
        self.spacing, self.steps_offset = schedule.spacing, schedule.steps_offset
        self.folder, self.source = folder, describe(folder)
        self._empty_prompt: torch.Tensor | None = None
        self.eval()

    def empty_prompt(self) -> torch.Tensor:
        """`[1, tokens, width]` of no words, by the folder's own text encoder, which is read for it once."""
        if self._empty_prompt is None:
            clip = load_text_encoder(self.folder)
            self._empty_prompt = clip.encode_from_tokens(clip.tokenize(""))
        return self._empty_prompt

    def get_dtype(self) -> torch.dtype:
        return next(self.diffusion_model.parameters()).dtype


def load_model(folder: Path) -> tuple[comfy.model_patcher.ModelPatcher, Any, Any]:
    """(MODEL, CLIP, VAE) of a model folder.

    Weights are made outside inference mode, so that training can go through them.
    Raises MotionError for a folder that is not such a model, or when diffusers cannot be imported.
    """
    check_folder(folder)
    with torch.inference_mode(False):
        model, clip, vae = load_patcher(folder), load_text_encoder(folder), load_vae(folder)
        fit_previews(model.model.latent_format, folder, vae)
        return model, clip, vae


def load_patcher(folder: Path, disable_dynamic: bool = True) -> comfy.model_patcher.ModelPatcher:
    """The MODEL. A plain ModelPatcher: with weights that the host may evict during a step, training would read freed
    memory."""
    try:
        from .unet import load_unet
    except ImportError as error:
        raise MotionError(
            f"Load Motion Video Model needs diffusers, which cannot be imported ({error}): install or repair it with "
            f"pip install -U diffusers in ComfyUI's Python."
        ) from error
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    schedule = NoiseSchedule.from_config(scheduler, str(folder / "scheduler" / "scheduler_config.json"))
    vae = read_json(folder / "vae" / "config.json")
    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    dtype = management.unet_dtype(model_params=_parameters(folder), supported_dtypes=DTYPES, weight_dtype=torch.float16)
    compute = management.unet_manual_cast(dtype, load_device, DTYPES) or dtype
    config = VideoModelConfig(sampling_settings(scheduler), vae.get("scaling_factor", 0.18215))
    config.set_inference_dtype(dtype, compute if compute != dtype else None)
    try:
        with torch.inference_mode(False):
            unet = load_unet(folder, variant(folder / "unet"), dtype, compute)
            unet.last_timestep = len(schedule) - 1
            model = MotionVideoModel(config, unet, schedule, folder).to(offload_device)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise MotionError(f"The UNet in {folder} could not be loaded: {' '.join(str(error).split())[:300]}") from error
    patcher = comfy.model_patcher.ModelPatcher(model, load_device=load_device, offload_device=offload_device)
    patcher.cached_patcher_init = (load_patcher, (folder,))
    return patcher


def sampling_settings(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """ComfyUI's words for a diffusers scheduler."""
    if scheduler.get("trained_betas") is not None:
        raise MotionError("scheduler_config.json holds trained_betas, which ComfyUI's schedules cannot express.")
    return {
        "beta_schedule": BETA_SCHEDULES[scheduler.get("beta_schedule", "linear")],
        "linear_start": scheduler.get("beta_start", 0.0001),
        "linear_end": scheduler.get("beta_end", 0.02),
        "timesteps": scheduler.get("num_train_timesteps", 1000),
        "zsnr": bool(scheduler.get("rescale_betas_zero_snr")),
    }


def check_folder(folder: Path) -> None:
    needed = ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json", "text_encoder/config.json")
    needed += ("tokenizer/vocab.json", "tokenizer/merges.txt")
    missing = [name for name in needed if not (folder / name).is_file()]
    missing += [f"{part}/ weights" for part in ("unet", "vae", "text_encoder") if not weights(folder / part)]
    if missing:
        raise MotionError(f"{folder} is not a text-to-video model in diffusers layout: missing {', '.join(missing)}.")


def describe(folder: Path) -> str:
    """What results are keyed by: the model's name and its weight files with size and time."""
    files = [f for part in ("unet", "vae") for f in weights(folder / part)]
    return f"{folder.name} " + " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def _parameters(folder: Path) -> int:
    return sum(f.stat().st_size for f in weights(folder / "unet")) // 2
