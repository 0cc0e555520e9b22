"""What the nodes ask of a MODEL, for each kind of model that motion embeddings act on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.backbones.accelerate.training_modes import Plan
from ...motion_lib.diffusion.denoiser import Denoiser
from ...motion_lib.diffusion.process import Process
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import Backbone, MotionEmbedding
from .model import MotionVideoModel
from .wan import is_wan


class HostDenoiser(Denoiser, Protocol):
    """`clean` is the last call's estimate of the clean latents `[b, c, f, h, w]`, for previews."""

    clean: Tensor


Ready = AbstractContextManager[tuple[HostDenoiser, torch.device, Plan]]


class Kind(Protocol):
    """A MODEL seen through the library's eyes: latents `[b, c, f, h, w]`, nearly always of one clip, in the
    model's own scale, conditionings of the library, a Denoiser.

    name: of its file or folder, None where that is not known. source: a hash of its weights, by which results are kept;
    earlier_source: what earlier versions kept them by, None if they kept none. frames_per_latent: how many frames of
    a clip a latent frame stands for, but for the first, which is one.
    """

    backbone: Backbone
    name: str | None
    source: str
    earlier_source: str | None
    frames_per_latent: int

    def process(self) -> Process:
        """The noise process that sampling uses, as nodes on the MODEL may have changed it. Raises MotionError for one
        of another kind."""
        ...

    def latents(self, latent: dict[str, Any], device: torch.device, several: bool = False) -> Tensor:
        """Of a LATENT, of one clip or, if several may be, of b; raises MotionError for another shape."""
        ...

    def samples(self, latents: Tensor) -> Tensor:
        """As a LATENT has them, but in the model's own scale."""
        ...

    def conditioning(self, given: list | None, latents: Tensor, device: torch.device) -> Any:
        """Of a CONDITIONING, which has a part for each of several clips, or one for all; None stands for the empty
        prompt. Raises MotionError for another number of parts, and for what another model's text encoder made."""
        ...

    def ready_to_train(
        self, latents: Tensor, conditioning: Any, embedding: MotionEmbedding, save_memory: str, vae: Any
    ) -> Ready:
        """The Denoiser, its device and how it computes, for as long as the context lasts; afterwards the model is as it
        was and the memory is the host's again. save_memory: a key of SAVE_MEMORY. vae: as for `loaded`."""
        ...

    def ready_to_invert(self, latents: Tensor) -> AbstractContextManager[tuple[HostDenoiser, torch.device]]: ...


def kind_of(model: ModelPatcher) -> Kind:
    """Raises MotionError for a MODEL that motion embeddings cannot act on."""
    from .unet_kind import UNet3DKind
    from .wan_kind import WanKind

    if isinstance(model.model, MotionVideoModel):
        return UNet3DKind(model)
    if is_wan(model):
        return WanKind(model)
    raise MotionError(
        f"This MODEL ({type(model.model).__name__}) has no layers that motion embeddings can act on: connect one from "
        f"Load Motion Video Model, or a text-to-video or image-to-video model of Wan 2.1 or 2.2."
    )


def part_for_each(given: list, clips: int) -> list:
    """The parts of a CONDITIONING that belong to so many clips. Raises MotionError for another number, or texts that
    cannot be in one batch."""
    if clips == 1:
        return given[:1]
    if len(given) not in (1, clips):
        raise MotionError(
            f"The LATENT holds {clips} clips, but the CONDITIONING has {len(given)} parts: connect both outputs of one "
            f"Draw Stand-ins."
        )
    if len({tuple(part[0].shape[1:]) for part in given}) > 1:
        raise MotionError(
            "The texts of the CONDITIONING have different lengths, so that their clips cannot be learned together: "
            "use a text encoder that gives all texts one length."
        )
    return given if len(given) == clips else given * clips


def plain(tensor: Tensor) -> Tensor:
    """A tensor that training can use: the executor makes inference tensors."""
    return tensor.detach().clone()
