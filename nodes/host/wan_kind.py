"""A MODEL of Wan from any loader as training and inversion see it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_sampling
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sampler_helpers import convert_cond
from comfy.samplers import encode_model_conds
from torch import Tensor

from ...motion_lib.diffusion.conditioning import Conditioning, joined
from ...motion_lib.diffusion.flow import FlowMatching
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import Backbone, MotionEmbedding
from .kinds import Ready, part_for_each, plain
from .session import loaded
from .wan import backbone_of

SAMPLES = 64  # values of each weight that its hash is made of, spread evenly
TEXT = "c_crossattn"  # the host's word for the text embedding
_SOURCES: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


class WanKind:
    """The host's latents have the library's form, `[1, c, f, h, w]`."""

    frames_per_latent = 4
    earlier_source = None

    def __init__(self, model: ModelPatcher):
        self.model = model

    @property
    def backbone(self) -> Backbone:
        return backbone_of(self.model)

    @property
    def name(self) -> str | None:
        """Of the file that it was loaded from, which newer versions of ComfyUI remember."""
        remembered = getattr(self.model, "cached_patcher_init", None)
        path = remembered[1][0] if remembered and remembered[1] else None
        return PurePath(path).stem if isinstance(path, str) else None

    @property
    def source(self) -> str:
        if self.model.model not in _SOURCES:
            _SOURCES[self.model.model] = _hash_of_weights(self.model)
        return _SOURCES[self.model.model]

    def process(self) -> FlowMatching:
        sampling = self.model.get_model_object("model_sampling")
        flow = comfy.model_sampling.CONST
        if not isinstance(sampling, flow) or type(sampling).calculate_input is not flow.calculate_input:
            raise MotionError(
                f"The MODEL is sampled as {type(sampling).__name__}, but Wan is sampled by flow matching: remove the "
                f"node that changes its sampling."
            )
        return FlowMatching(1000, float(getattr(sampling, "shift", 1.0)))

    def latents(self, latent: dict[str, Any], device: torch.device, several: bool = False) -> Tensor:
        samples = plain(latent["samples"])
        channels = self.model.model.latent_format.latent_channels
        if samples.ndim != 5 or (len(samples) != 1 and not several) or samples.shape[1] != channels:
            raise MotionError(
                f"The LATENT has the shape {list(samples.shape)}, but this MODEL needs [1, {channels}, latent frames, "
                f"height, width]: encode the clip's frames with the VAE of this Wan model."
            )
        return self.model.model.process_latent_in(samples).to(device, torch.float32)

    def samples(self, latents: Tensor) -> Tensor:
        return latents

    def conditioning(self, given: list | None, latents: Tensor, device: torch.device) -> Conditioning:
        """With a part for everything that the MODEL makes of the CONDITIONING besides the text, by the host's names."""
        if not given:
            raise MotionError(
                "Wan needs a CONDITIONING: connect CLIP Text Encode, with an empty text where no words are wanted."
            )
        width = self.model.model.diffusion_model.text_dim
        if given[0][0].shape[-1] != width:
            raise MotionError(
                f"The CONDITIONING has the shape {list(given[0][0].shape)}, but [1, tokens, {width}] is needed: encode "
                f"the text with the text encoder of this Wan model."
            )
        each = part_for_each(given, len(latents))
        return joined([self._told(part, clip, device) for part, clip in zip(each, latents.split(1), strict=True)])

    def _told(self, part: list, latents: Tensor, device: torch.device) -> Conditioning:
        """Of one part of a CONDITIONING, for latents of one clip."""
        (made,) = encode_model_conds(
            self.model.model.extra_conds, convert_cond([part]), latents.to(device), device, "positive"
        )
        parts = {}
        for name, cond in made["model_conds"].items():
            value = cond.process_cond(batch_size=1, device=device, area=None).cond
            if not isinstance(value, Tensor):
                raise MotionError(
                    f"The CONDITIONING holds {name}, beside which nothing can be learned: leave out the node that adds "
                    f"it."
                )
            parts[name] = plain(value)
        return Conditioning(parts.pop(TEXT), parts)

    def ready_to_train(
        self, latents: Tensor, conditioning: Any, embedding: MotionEmbedding, save_memory: str, vae: Any
    ) -> Ready:
        from .wan_training import ready_to_train

        return ready_to_train(self.model, latents, conditioning, embedding, save_memory, vae)

    @contextmanager
    def ready_to_invert(self, latents: Tensor) -> Iterator[tuple[Any, torch.device]]:
        from .wan_denoiser import WanModelDenoiser

        with loaded(self.model, tuple(latents.shape)) as device:
            yield WanModelDenoiser(self.model), device


def _hash_of_weights(model: ModelPatcher) -> str:
    """SHA-256 of the shapes of all weights and of some values of each: another training differs nearly everywhere. A
    weight that a LoRA has changed in place is read where the host keeps what it was."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.model.diffusion_model.state_dict().items()):
        kept = model.backup.get(f"diffusion_model.{name}")
        weight = weight if kept is None else getattr(kept, "weight", kept)
        digest.update(f"{name} {list(weight.shape)} ".encode())
        if weight.is_floating_point():
            flat = weight.detach().reshape(-1)
            places = torch.linspace(0, flat.numel() - 1, min(SAMPLES, flat.numel())).long()
            digest.update(flat[places.to(flat.device)].float().cpu().numpy().tobytes())
    return digest.hexdigest()
