"""What every method of motion transfer is to the benchmark."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ...backbones import VideoModel
from ...patch import MotionPatch
from ...sampling import sample
from ..cases import Case


@dataclass(frozen=True)
class Reference:
    """latents: the clip's, `[1, c, f, h, w]`; inverted: its noise by DDIM inversion, of that shape."""

    case: Case
    latents: Tensor
    inverted: Tensor


@dataclass(frozen=True)
class Request:
    """The videos to make in one go: a prompt, a seed and fresh Gaussian noise for each, `[b, c, f, h, w]`."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    fresh: Tensor
    steps: int
    guidance: float


class Method(Protocol):
    """A frozen dataclass whose fields are the settings.

    recipe: what decides what is learned; methods of equal recipe share it. Whatever a method does to the model's
    weights, they are bit for bit the same when it is done.
    """

    @property
    def recipe(self) -> Hashable: ...

    def learn(self, model: VideoModel, reference: Reference) -> Any: ...

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        """Latents `[b, c, f, h, w]` of the videos."""
        ...

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        """What has to be given on to make more videos of this motion."""
        ...


class Untrained:
    """The parts of a method that learns nothing."""

    @property
    def recipe(self) -> Hashable:
        return "nothing"

    def learn(self, model: VideoModel, reference: Reference) -> Any:
        return None

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        return {}


def generate(model: VideoModel, request: Request, noise: Tensor, patches: Sequence[MotionPatch] = ()) -> Tensor:
    """Latents of the requested videos by the library's own sampler."""
    return sample(
        model.denoiser,
        noise,
        model.encode_prompt(list(request.prompts)),
        unconditional=model.encode_prompt([""] * len(request.prompts)),
        guidance=request.guidance,
        steps=request.steps,
        patches=patches,
    )
