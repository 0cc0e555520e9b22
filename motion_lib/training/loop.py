"""Learning a motion embedding from one clip, or several of one motion. `train` is a generator that yields its state
after every step: progress, preview, checkpoints and stopping are a few lines of the caller's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Denoiser
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..method.patch import DEBIAS, MotionPatch
from .losses import LOSSES, SPATIAL, mse
from .region import root_mask
from .settings import TrainingSettings
from .spatial_lora import SpatialLoRA
from .step import Draw, Draws, Values, advance, backward, check, clip_gradients, copy_of, moving, require_finite


@dataclass
class TrainingState:
    """Everything training continues from. `embedding` holds the tensors that are optimised; take `learned` to keep what
    they amount to.

    spatial: the LoRA of a loss with a spatial term, from the first step on. losses: of the embedding, per step; what
    the LoRA learns by is not in them. moving: where the clip moves, `[h·w, f, 1]` per value embedding, if the settings
    keep the embedding to it.
    """

    embedding: MotionEmbedding
    settings: TrainingSettings
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)
    spatial: SpatialLoRA | None = None
    moving: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, embedding: MotionEmbedding, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
        if not embedding.tensors:
            raise MotionError("The embedding holds no tensors (components none): there is nothing to learn.")
        live = {k: t.detach().to(device, torch.float32).clone().requires_grad_() for k, t in embedding.tensors.items()}
        generator = torch.Generator().manual_seed(settings.seed)
        return cls(embedding.with_tensors(live), settings, settings.optimizer(live.values()), generator)

    def acting(self) -> MotionEmbedding:
        """The embedding as it acts while it is learned, with gradients: value embeddings debiased as the settings say,
        and nothing where the clip stands still."""
        if self.settings.train_debias == "vanilla" and not self.moving:
            return self.embedding
        debias, tensors = DEBIAS[self.settings.train_debias], dict(self.embedding.tensors)
        for key in (key for key in tensors if key.endswith(".v")):
            m = debias(tensors[key])
            tensors[key] = m * self.moving[key] if key in self.moving else m
        return self.embedding.with_tensors(tensors)

    @property
    def learned(self) -> MotionEmbedding:
        """A copy of the embedding as it acts now, which further training does not change."""
        return self.acting().detached()

    @property
    def loss(self) -> float:
        """Of the last step."""
        return self.losses[-1]

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps


def train(
    denoiser: Denoiser, latents: Tensor, conditioning: Any, state: TrainingState, mask: Tensor | None = None
) -> Iterator[TrainingState]:
    """Learn the motion of clean latents `[b, c, f, h, w]` under a text conditioning for b videos.

    Objective: E‖y − model(x_t, t)‖² over random timesteps and noise with the backbone frozen (arXiv 2403.20193, sec.
    3.2), at strength 1, through the embedding as `TrainingState.acting` has it. Of several clips every step draws one,
    so that time and memory of a step do not grow with them. Timesteps and noise are drawn on the CPU, so that a seed
    means the same on every device.
    mask: how much each place counts, not negative, of any shape that broadcasts to that of the latents, such as
    `[f, h, w]` or `[h, w]`; only what is not 0 is learned from.
    Raises MotionError for latents of another shape than the embedding's, for an embedding made for another backbone, a
    mask that does not suit, or when loss or gradient are not finite. Whatever ends a step, Ctrl-C included, leaves the
    state as it was after the step before: carrying on from there is bit for bit the same as never having stopped.
    """
    settings = state.settings
    state.embedding.check_fits(denoiser.backbone)
    check(latents, state.embedding, denoiser.schedule, settings)
    if len(conditioning) != len(latents):
        raise MotionError(f"Each clip needs one text, but {len(conditioning)} were given for {len(latents)}.")
    scale = None if mask is None else root_mask(mask, latents)
    term = SPATIAL.get(settings.loss)
    layers = denoiser.spatial_linears() if term else {}
    if term:
        state.spatial = state.spatial or SpatialLoRA.start(layers, term, settings, latents.device)
        state.spatial.check_fits(layers)
    if settings.motion_mask:
        state.moving = moving(latents, state.embedding, settings.motion_mask)
    return _steps(denoiser, latents, conditioning, state, scale, layers)


def _steps(
    denoiser: Denoiser,
    latents: Tensor,
    conditioning: Any,
    state: TrainingState,
    scale: Tensor | None,
    layers: Mapping[str, nn.Linear],
) -> Iterator[TrainingState]:
    settings, device, term = state.settings, latents.device, SPATIAL.get(state.settings.loss)
    frames, size = latents.shape[2], (latents.shape[3], latents.shape[4])
    draws = Draws(latents, denoiser.schedule, settings, ahead=latents.is_cuda)

    while not state.done:
        generator = copy_of(state.generator)
        draw = Draw(denoiser, latents, conditioning, scale, settings, draws.take(generator))
        skip = term is None or float(torch.rand((), generator=generator)) < term.skipped
        lora = None if skip else state.spatial
        with torch.enable_grad():
            values = {} if lora is None else _look(draw, lora, layers, settings, generator)
            patch = MotionPatch(state.acting(), debias="vanilla").prepare(frames, size, device, latents.dtype)
            with nullcontext() if lora is None else lora.acting(layers, learning=False):
                loss = LOSSES[settings.loss](*draw.compare([patch]), generator)
                state.optimizer.zero_grad(set_to_none=True)
                backward(loss, latents, state.embedding.tensors)
        values |= {"loss": loss.detach(), "gradient": clip_gradients(state.embedding.tensors, settings)}
        draws.prepare(generator)
        advance(state, _read(values, state), generator, lora)
        yield state


def _read(values: Values, state: TrainingState) -> float:
    """The loss. All values at once, because reading from a GPU waits for it; raises MotionError unless all are
    finite."""
    read = torch.stack([value.to(values["loss"]) for value in values.values()]).tolist()
    require_finite(state, dict(zip(values, read, strict=True)))
    return read[list(values).index("loss")]


def _look(
    draw: Draw,
    lora: SpatialLoRA,
    layers: Mapping[str, nn.Linear],
    settings: TrainingSettings,
    generator: torch.Generator,
) -> Values:
    """The spatial LoRA's gradients, by mse of one random frame without the embedding; loss and norm, still on the
    device."""
    frame = int(torch.randint(draw.clean.shape[2], (), generator=generator))
    with lora.acting(layers, learning=True):
        loss = mse(*draw.compare((), slice(frame, frame + 1)), generator)
        lora.optimizer.zero_grad(set_to_none=True)
        backward(loss, draw.clean, lora.tensors)
    return {"spatial loss": loss.detach(), "spatial gradient": clip_gradients(lora.tensors, settings)}
