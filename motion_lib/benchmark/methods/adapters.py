"""Learned changes to linear layers of a UNet, for baselines that change weights.

They act through forward hooks and only inside `acting`, so that the weights themselves are never touched. The UNet is
called directly, as hooks need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import VideoModel
from ...backbones.accelerate.graphs import Graphed
from ...errors import MotionError
from ...method.patch import PreparedPatch
from ...training.loop import TrainingSettings
from ...training.losses import LOSSES, mse

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


@dataclass(frozen=True)
class Adapter:
    """A change of every layer, by name."""

    layers: Mapping[str, nn.Linear]
    changes: Mapping[str, Change]

    @classmethod
    def start(
        cls, layers: Mapping[str, nn.Linear], rank: int | None, device: torch.device, generator: torch.Generator
    ) -> Adapter:
        """Zero ΔW, or LoRA whose `up` is zero and whose `down` is Gaussian with deviation 1/rank (Hu et al. 2021, arXiv
        2106.09685), ready to learn in float32."""
        changes = {}
        for name, layer in layers.items():
            zero = torch.zeros(layer.out_features, layer.in_features if rank is None else rank)
            down = () if rank is None else (torch.randn(rank, layer.in_features, generator=generator) / rank,)
            changes[name] = tuple(t.to(device).requires_grad_() for t in (zero, *down))
        return cls(layers, changes)

    @property
    def tensors(self) -> list[Tensor]:
        return [t for change in self.changes.values() for t in change]

    def having(self, tensors: Iterable[Tensor]) -> Adapter:
        """The same with other tensors, in the order of `tensors`."""
        rest = iter(tensors)
        return Adapter(self.layers, {k: tuple(next(rest) for _ in change) for k, change in self.changes.items()})

    def detached(self) -> Adapter:
        return self.having(t.detach() for t in self.tensors)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """While inside, every layer computes (W + ΔW)·x, with ΔW = up·down for a LoRA."""
        handles = []
        try:
            for name, layer in self.layers.items():
                handles.append(layer.register_forward_hook(_adding(self.changes[name])))
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
    adapter: Adapter,
    look: Adapter | None = None,
) -> None:
    """Train an adapter on one clip `[1, c, f, h, w]` as `settings` say.

    look: one on the spatial layers, which learns one random frame at every step by plain mse and acts, without
    learning, in the pass over all frames (MotionDirector, arXiv 2310.08465, sec. 3.2).
    """
    schedule, frames = denoiser.schedule, latents.shape[2]
    generator = torch.Generator().manual_seed(settings.seed)
    at, noise = torch.zeros(1, dtype=torch.long, device=latents.device), torch.zeros_like(latents)
    held = [] if look is None else [t.detach() for t in look.tensors]
    predict = _recorded(denoiser, [noise, at, text, *adapter.tensors, *held], [adapter, *([look] if look else [])])
    draw = _recorded(denoiser, [noise[:, :, :1], at, text, *look.tensors], [look]) if look else None
    parameters = [*adapter.tensors, *(look.tensors if look else ())]
    optimizer = settings.optimizer(parameters)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        at = settings.draw_timesteps(1, schedule, generator).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy, target = schedule.noisy(latents, noise, at), schedule.target(latents, noise, at).float()
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            if look and draw:
                i = int(torch.randint(frames, (), generator=generator))
                one = slice(i, i + 1)
                frame = draw(noisy[:, :, one], at, text, *look.tensors).float()
                mse(frame, target[:, :, one], generator).backward()
                held = [t.detach() for t in look.tensors]
            prediction = predict(noisy, at, text, *adapter.tensors, *held).float()
            LOSSES[settings.loss](prediction, target, generator).backward()
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()


def _recorded(denoiser: PlainDenoiser, inputs: list[Tensor], adapters: Sequence[Adapter]) -> Callable[..., Tensor]:
    """`(noisy, timestep, text, *tensors of the adapters) -> prediction`; on a GPU as a CUDA graph."""

    def predict(noisy: Tensor, at: Tensor, text: Tensor, *tensors: Tensor) -> Tensor:
        rest = list(tensors)
        with ExitStack() as stack:
            for adapter in adapters:
                own, rest = rest[: len(adapter.tensors)], rest[len(adapter.tensors) :]
                stack.enter_context(adapter.having(own).acting())
            return denoiser(noisy, at, text)

    return Graphed(predict, inputs) if inputs[0].is_cuda else predict
