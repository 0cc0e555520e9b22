"""What training, inversion and sampling ask of a host: one function that predicts, and its noise process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ..method.embedding import Backbone
from ..method.patch import PreparedPatch
from .process import Process


class Denoiser(Protocol):
    """A text-to-video model seen from outside.

    Called with latents `[b, c, f, h, w]`, timesteps `[b]`, the host's own conditioning for b videos and any number of
    prepared patches, it returns the prediction `[b, c, f, h, w]` that `process.prediction` names. Gradients flow to
    the patches; the model's own weights are frozen.
    """

    process: Process
    backbone: Backbone

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor: ...

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        """The linear layers in attention and feed-forward of the spatial transformers, by module name: where the
        spatial LoRA of some losses acts while training. Empty for a family that has none."""
        ...
