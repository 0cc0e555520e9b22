"""A video by an image model: from a prompt, from a prompt and its first picture, or from a clip and an instruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..backbones.model import VideoModel
from ..diffusion.conditioning import Conditioning
from ..diffusion.process import Step
from ..diffusion.sampling import sample
from ..errors import MotionError
from .denoiser import ImageDenoiser
from .edit import PICTURE, Edit
from .momentum import Momentum


@dataclass(frozen=True)
class FirstFrame:
    """A guide of `sample` that holds the first frame of every video to a picture: its noise is kept, and what the model
    takes for the clean frame is replaced by the picture's latents `[1, c, 1, h, w]`.

    Raises MotionError for latents that are not finite or not of one frame.
    """

    picture: Tensor

    def __post_init__(self) -> None:
        if not torch.isfinite(self.picture).all():
            raise MotionError("The latents of the first picture contain NaN or infinity: check it and the autoencoder.")
        if self.picture.shape[2] != 1:
            raise MotionError(f"The first picture has {self.picture.shape[2]} frames, but it must be one.")

    def __call__(self, clean: Tensor, progress: float) -> Tensor:
        return torch.cat([self.picture.to(clean).expand_as(clean[:, :, :1]), clean[:, :, 1:]], 2)


def imagine(
    model: VideoModel,
    prompts: list[str],
    noise: Tensor,
    momentum: Momentum | None = None,
    *,
    first: Tensor | None = None,
    edit: Edit | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> Tensor:
    """Latents `[b, c, f, h, w]`, a video per prompt, from start noise of that shape, which `frame_noise` ties.

    momentum: None leaves every frame to itself. first: the latents `[1, c, 1, h, w]` of a picture to which the first
    frame is held. edit: the clip that the prompts say what to do with, for a model that edits. steps, guidance: the
    model's usual ones without them.
    Raises MotionError for a model that is not an image model, an edit by a model that does not edit or the reverse, and
    as FirstFrame, Edit and `sampling.sample` do.
    """
    denoiser = check_model(model, edit is not None)
    guide = None if first is None else FirstFrame(first)
    text, empty = model.encode_prompt(prompts), model.encode_prompt([""] * len(prompts))
    conditioning, unconditional, between = text, empty, None
    if edit is not None:
        pictured = edit.conditioned(text, noise)
        nothing = {PICTURE: torch.zeros_like(pictured.parts[PICTURE])}
        conditioning, unconditional = pictured, Conditioning(empty, nothing)
        between = (replace(pictured, text=empty), edit.picture_guidance)
    latents = sample(
        replace(denoiser, momentum=momentum),
        noise,
        conditioning,
        unconditional=unconditional,
        guidance=model.defaults.guidance if guidance is None else guidance,
        between=between,
        steps=steps or model.defaults.steps,
        guide=guide,
        on_step=on_step,
    )
    # Some schedules end with a little noise left.
    return latents if guide is None else guide(latents, 1.0)


def check_model(model: VideoModel, edit: bool) -> ImageDenoiser:
    """The denoiser of a model that makes videos frame by frame: out of a clip, if edit, else out of nothing.

    Raises MotionError for a model that does not.
    """
    denoiser = model.denoiser
    if not isinstance(denoiser, ImageDenoiser):
        raise MotionError(f"{model.name} is a video model: use it with generate, or give an image model.")
    if edit and not denoiser.edits:
        raise MotionError(
            f"{model.name} makes pictures, but does not edit any by instruction: leave out the clip, or use a model of "
            f"InstructPix2Pix's kind."
        )
    if denoiser.edits and not edit:
        raise MotionError(
            f"{model.name} is a model of InstructPix2Pix's kind, which edits by instruction: give it a clip to edit, "
            f"or use a model that makes pictures."
        )
    return denoiser
