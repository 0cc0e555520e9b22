"""A text-to-video model in diffusers layout as native MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.model_patcher
import comfy.supported_models_base
import torch

from ...motion_lib.backbones import ModelFolder, open_model
from ...motion_lib.backbones.loading import explained
from ...motion_lib.diffusion.schedule import NoiseSchedule
from ...motion_lib.errors import MotionError
from ...motion_lib.training.identity import model_hash
from .folders import HOSTED
from .text import load_text_encoder
from .vae import fit_previews, load_vae

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
MEMORY_FACTOR = (
    2.0  # of ComfyUI's estimate per latent pixel; Stable Diffusion 1.5 has 1, and this adds the temporal half
)
NO_UNET = {"disable_unet_model_creation": True}  # ComfyUI is not to build one of its own
KINDS = {"epsilon": comfy.model_base.ModelType.EPS, "v_prediction": comfy.model_base.ModelType.V_PREDICTION}
BETA_SCHEDULES = {"scaled_linear": "linear", "linear": "sqrt_linear"}  # diffusers' word: ComfyUI's


class VideoModelConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks of a model before it exists."""

    unet_extra_config: ClassVar[dict] = {}
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = MEMORY_FACTOR
    supported_inference_dtypes = DTYPES
    optimizations: ClassVar[dict] = {"fp8": False}

    def __init__(
        self, sampling_settings: Mapping[str, Any], scaling_factor: float, unet_config: Mapping[str, Any] = NO_UNET
    ):
        super().__init__(dict(unet_config))
        self.sampling_settings = dict(sampling_settings)
        self.latent_format.scale_factor = scaling_factor


class MotionVideoModel(comfy.model_base.BaseModel):
    """ComfyUI's model around the UNet. `source` is a hash of what its folder holds, by which results are kept, and
    `earlier_source` what earlier versions kept them by; `spacing` and `steps_offset` are the timesteps its own
    scheduler takes."""

    def __init__(self, config: VideoModelConfig, unet: Any, opened: ModelFolder):
        process = opened.process
        if not isinstance(process, NoiseSchedule):
            raise MotionError("Video models of flow matching in diffusers layout are not for this node: use ComfyUI's.")
        super().__init__(config, KINDS[process.prediction])
        self.diffusion_model = unet
        self.spacing, self.steps_offset = process.spacing, process.steps_offset
        self.folder, self.source = opened.folder, model_hash(opened.folder)
        self.earlier_source = _named_by_files(opened)
        self._empty_prompt: torch.Tensor | None = None
        self.eval()

    def empty_prompt(self) -> torch.Tensor:
        """`[1, tokens, width]` of no words, by the folder's own text encoder, which is read for it once."""
        if self._empty_prompt is None:
            clip = load_text_encoder(open_model(self.folder))
            self._empty_prompt = clip.encode_from_tokens(clip.tokenize(""))
        return self._empty_prompt

    def get_dtype(self) -> torch.dtype:
        return next(self.diffusion_model.parameters()).dtype


def load_model(folder: Path) -> tuple[comfy.model_patcher.ModelPatcher, Any, Any]:
    """(MODEL, CLIP, VAE) of a model folder.

    Weights are made outside inference mode, so that training can go through them.
    Raises MotionError for a folder that is not such a model, or when diffusers cannot be imported.
    """
    opened = _open(folder)
    with torch.inference_mode(False):
        model, clip, vae = _patcher(opened), load_text_encoder(opened), load_vae(opened)
        fit_previews(model.model.latent_format, opened, vae)
        return model, clip, vae


def load_text(folder: Path) -> Any:
    """The CLIP of a model folder of any family. Raises as `load_model` does."""
    with importing_diffusers():
        import diffusers  # noqa: F401
    with torch.inference_mode(False):
        return load_text_encoder(open_model(folder))


def load_patcher(folder: Path, disable_dynamic: bool = True) -> comfy.model_patcher.ModelPatcher:
    """The MODEL. A plain ModelPatcher: with weights that the host may evict during a step, training would read freed
    memory."""
    return _patcher(_open(folder))


@contextmanager
def importing_diffusers() -> Iterator[None]:
    """Around imports that need diffusers: raises MotionError, saying what to install, when one of them fails."""
    try:
        yield
    except ImportError as error:
        raise MotionError(
            f"Load Motion Video Model needs diffusers, which cannot be imported ({error}): install or repair it with "
            f"pip install -U diffusers in ComfyUI's Python."
        ) from error


def _open(folder: Path) -> ModelFolder:
    with importing_diffusers():
        import diffusers.models.unets.unet_3d_condition  # noqa: F401
    with torch.inference_mode(False):
        opened = open_model(folder)
    if (kind := opened.parts.denoiser.config["_class_name"]) not in HOSTED:
        raise MotionError(f"{folder.name} is a {kind}, which this node does not load: use the command line for it.")
    return opened


def _patcher(opened: ModelFolder) -> comfy.model_patcher.ModelPatcher:
    from .sampling import serve_sampling
    from .unet import load_unet

    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    dtype = management.unet_dtype(model_params=_parameters(opened), supported_dtypes=DTYPES, weight_dtype=torch.float16)
    compute = management.unet_manual_cast(dtype, load_device, DTYPES) or dtype
    config = VideoModelConfig(
        sampling_settings(opened.parts.scheduler), opened.parts.vae.config.get("scaling_factor", 0.18215)
    )
    config.set_inference_dtype(dtype, compute if compute != dtype else None)
    with torch.inference_mode(False), explained(opened.folder, "unet"):
        unet = load_unet(opened.parts.denoiser, dtype, compute)
        unet.last_timestep = len(opened.process) - 1
        model = MotionVideoModel(config, unet, opened).to(offload_device)
    patcher = comfy.model_patcher.ModelPatcher(model, load_device=load_device, offload_device=offload_device)
    patcher.cached_patcher_init = (load_patcher, (opened.folder,))
    serve_sampling(patcher)
    return patcher


def sampling_settings(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """ComfyUI's words for a diffusers scheduler."""
    if scheduler.get("trained_betas") is not None:
        raise MotionError("scheduler_config.json holds trained_betas, which ComfyUI cannot express: use another model.")
    return {
        "beta_schedule": BETA_SCHEDULES[scheduler.get("beta_schedule", "linear")],
        "linear_start": scheduler.get("beta_start", 0.0001),
        "linear_end": scheduler.get("beta_end", 0.02),
        "timesteps": scheduler.get("num_train_timesteps", 1000),
        "zsnr": bool(scheduler.get("rescale_betas_zero_snr")),
    }


def _named_by_files(opened: ModelFolder) -> str:
    """The model's name and its weight files with size and time."""
    files = [*opened.parts.denoiser.files, *opened.parts.vae.files]
    return f"{opened.folder.name} " + " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def _parameters(opened: ModelFolder) -> int:
    return sum(shape.numel() for shape in opened.parts.denoiser.shapes().values())
