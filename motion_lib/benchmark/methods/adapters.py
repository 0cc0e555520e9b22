"""Learned changes to linear layers of a UNet, for baselines that change weights.

They act through forward hooks and only inside `acting`, so that the weights themselves are never touched. The UNet is
called directly, as hooks need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import VideoModel
from ...errors import MotionError
from ...losses import LOSSES, mse
from ...patch import PreparedPatch
from ...training import TrainingSettings

Layers = Mapping[str, nn.Linear]
Change = tuple[Tensor, ...]  # ΔW `[out, in]`, or up `[out, rank]` and down `[rank, in]` of a LoRA


class PlainDenoiser:
    """A Denoiser that calls the UNet of a model as it is, without the faster passes that do not run hooks."""

    def __init__(self, model: VideoModel):
        unet: Any = getattr(model.denoiser, "unet", None)
        if unet is None:
            raise MotionError(f"{model.name} has no UNet: this method changes one, choose other methods.")
        self.unet, self.schedule, self.backbone = unet, model.denoiser.schedule, model.denoiser.backbone
        self.spatial_linears = model.denoiser.spatial_linears

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        kwargs = {"motion": tuple(patches)}
        return self.unet(latents, timesteps, conditioning, cross_attention_kwargs=kwargs, return_dict=False)[0]

    def linears(self, kind: str, keep: Callable[[str], bool]) -> dict[str, nn.Linear]:
        """The linear layers inside modules of class `kind` whose full names `keep` accepts."""
        inside = [name for name, module in self.unet.named_modules() if type(module).__name__ == kind]
        within = tuple(f"{name}." for name in inside)
        modules = self.unet.named_modules()
        return {n: m for n, m in modules if isinstance(m, nn.Linear) and n.startswith(within) and keep(n)}


def no_change(layers: Layers, rank: int | None, device: torch.device, generator: torch.Generator) -> dict[str, Change]:
    """Zero ΔW, or LoRA whose `up` is zero and whose `down` is Gaussian with deviation 1/rank (Hu et al. 2021, arXiv
    2106.09685), ready to learn in float32."""
    changes = {}
    for name, layer in layers.items():
        zero = torch.zeros(layer.out_features, layer.in_features if rank is None else rank)
        down = () if rank is None else (torch.randn(rank, layer.in_features, generator=generator) / rank,)
        changes[name] = tuple(t.to(device).requires_grad_() for t in (zero, *down))
    return changes


@contextmanager
def acting(layers: Layers, changes: Mapping[str, Change], learning: bool = False) -> Iterator[None]:
    """While inside, every layer computes (W + ΔW)·x, with ΔW = up·down for a LoRA."""
    handles = []
    try:
        for name, layer in layers.items():
            change = changes[name] if learning else tuple(t.detach() for t in changes[name])
            handles.append(layer.register_forward_hook(_adding(change)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(change: Change):
    def hook(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = arguments[0]
        for weight in reversed(change):
            x = F.linear(x, weight.to(x))
        return output + x

    return hook


def fit(
    denoiser: PlainDenoiser,
    latents: Tensor,
    text: Tensor,
    settings: TrainingSettings,
    layers: Layers,
    changes: Mapping[str, Change],
    look: tuple[Layers, Mapping[str, Change]] | None = None,
) -> None:
    """Train changes on one clip `[1, c, f, h, w]` as `settings` say.

    look: changes of the spatial layers, which learn one random frame at every step by plain mse and act, without
    learning, in the pass over all frames (MotionDirector, arXiv 2310.08465, sec. 3.2).
    """
    schedule, frames = denoiser.schedule, latents.shape[2]
    generator = torch.Generator().manual_seed(settings.seed)
    groups = [changes, *([look[1]] if look else [])]
    parameters = [t for group in groups for change in group.values() for t in change]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, settings.betas, settings.eps, settings.weight_decay
    )
    loss_of = LOSSES[settings.loss]
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        at = settings.draw_timesteps(1, len(schedule) - 1, generator).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy, target = schedule.noisy(latents, noise, at), schedule.target(latents, noise, at).float()
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            if look:
                i = int(torch.randint(frames, (), generator=generator))
                with acting(*look, learning=True):
                    frame = denoiser(noisy[:, :, i : i + 1], at, text).float()
                    mse(frame, target[:, :, i : i + 1], generator).backward()
            with acting(*look) if look else nullcontext(), acting(layers, changes, learning=True):
                loss_of(denoiser(noisy, at, text).float(), target, generator).backward()
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
