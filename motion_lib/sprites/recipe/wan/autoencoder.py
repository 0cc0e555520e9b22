"""Stage 1 of `sprite_wan`: the video autoencoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import checkpoint
from ..run import Run
from ..workers import FlatGradient
from .clips import KINDS, ClipPool, Clips, unseen
from .design import AUTOENCODER_DIM, FRAMES, LATENT_CHANNELS, SHORT_FRAMES, SIZE
from .muon import load_moments, moments, muon_and_adam, take_step
from .sheets import write_sheet
from .vae import Speed, VideoAutoencoder, _norm_silu

CLASSIC = 0.35  # share of clips in the sprites' own look
KL = 3e-6
EACH = 0.02  # weight of the logarithm of each clip's error: half of what is left counts alike in easy and hard clips
FILE = "wan_autoencoder.pt"


def train(
    work: Path,
    steps: int,
    batch: int,
    minutes: float,
    device: str,
    *,
    rate: float,
    photographs: bool,
    compile: bool,
    frames: int = SHORT_FRAMES,
) -> None:
    """Train on one device, or on every GPU of the machine when started by `torchrun`; `batch` clips per device.

    With `steps` 0 the number of steps is what fits into `minutes`, judged by the first ones.
    """
    run = Run(work / FILE, steps, minutes, device)
    torch.manual_seed(0)
    model = VideoAutoencoder(AUTOENCODER_DIM).to(run.device)
    state = run.start(model)
    gradient = FlatGradient(model)
    seed = 1_000_000 * (1 + run.rank) + run.step
    pool = ClipPool(Clips(run.device, photographs), 16 * batch, 4 * batch, frames, CLASSIC, seed)
    noise = torch.Generator(run.device)
    noise.manual_seed(3 + 1000 * run.rank + run.step)

    def backward(pixels: Tensor) -> Tensor:
        gradient.zero()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            loss, error = _objective(model, pixels, noise)
        loss.backward()
        return error

    example = pool.draw(batch, noise)
    prepare(model, lambda: backward(example), compile)
    gradient = FlatGradient(model)  # anew: the weights' memory layout has changed
    both = muon_and_adam(model.parameters(), rate, weight_decay=1e-4, fused=device == "cuda")
    load_moments(both, state)
    while run.going:
        error = backward(pool.draw(batch, noise))
        gradient.share(run.workers)
        gradient.clip(1.0)
        take_step(both, min(1.0, (run.done + 1) / 50) * checkpoint.cosine(run.step, run.steps or 100_000, 50))
        run.count(error)
        checkpoint.average(run.ema, model, min(0.998, run.step / (run.step + 20)))
        run.fit(20, 50)
        if run.step % 100 == 0 or run.done in (20, 50):
            run.tell(of=run.steps, psnr_db=round(-10 * run.mean().log10().item(), 2))
        if run.step % 1000 == 0:
            run.save(model, optimizers=moments(both))
    run.save(model, optimizers=moments(both))


def _objective(model: VideoAutoencoder, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The loss, and the mean squared error in units of [0, 1]."""
    mean, log_variance = model.moments(pixels)
    mean, log_variance = mean.float(), log_variance.float()
    drawn = torch.randn(mean.shape, generator=generator, device=mean.device)
    output = model.decode(mean + (0.5 * log_variance).exp() * drawn).float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    error = output - pixels
    # Pixels, edges in space and edges in time, so that outlines and fast objects count as much as areas.
    edges = sum(error.diff(dim=d).abs().mean() for d in (2, 3, 4))
    squared = error.square().mean(dim=(1, 2, 3, 4))
    loss = error.abs().mean() + edges + squared.mean() + EACH * (squared + 1e-5).log().mean() + KL * kl
    return loss, squared.mean().detach() / 4


def prepare(model: VideoAutoencoder, trial: Callable[[], Any], compile: bool) -> None:
    """Choose what computes the layers fastest on a GPU, by trying `trial` both ways; on a CPU there is no choice."""
    if not next(model.parameters()).is_cuda:
        return
    torch.backends.cudnn.benchmark = True
    for module in model.modules():
        convolution: Any = module  # the stubs do not know this form of `to`
        if isinstance(module, torch.nn.Conv2d):
            convolution.to(memory_format=torch.channels_last)
        elif isinstance(module, torch.nn.Conv3d):
            convolution.to(memory_format=torch.channels_last_3d)
    if compile:
        torch._dynamo.config.recompile_limit = 64  # it is compiled for every size of layer
        Speed.norm_silu = staticmethod(torch.compile(_norm_silu, dynamic=False))
    taken = {}
    for flat in (False, True):
        Speed.flat = flat
        for _ in range(3):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            trial()
            end.record()
            torch.cuda.synchronize()
            taken[flat] = start.elapsed_time(end)
    Speed.flat = taken[True] < taken[False]
    print(json.dumps({"ms_3d": round(taken[False]), "ms_flat": round(taken[True])}), flush=True)


def prepare_to_encode(model: VideoAutoencoder, clips: int, compile: bool) -> None:
    weight = next(model.parameters())
    frames = torch.zeros(clips, 3, FRAMES, SIZE, SIZE, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        prepare(model, lambda: model.encode(frames.to(memory_format=torch.channels_last_3d)), compile)


def finished(work: Path, device: str) -> VideoAutoencoder:
    """The averaged autoencoder, its latents with mean 0 and standard deviation 1 in every channel."""
    state = checkpoint.load(work / FILE, device)
    assert state is not None, f"{work} holds no autoencoder: run the stage autoencoder first"
    model = VideoAutoencoder(AUTOENCODER_DIM).to(device)
    model.load_state_dict({name: value.float() for name, value in state["ema"].items()})
    model.requires_grad_(False).eval()
    if "mean" not in state:
        state["mean"], state["std"] = latent_statistics(model, device)
        checkpoint.save(work / FILE, **state)
    rescale(model, state["mean"].to(device), state["std"].to(device))
    return model


@torch.no_grad()
def latent_statistics(model: VideoAutoencoder, device: str, clips: int = 64) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each latent channel, over clips without photographs."""
    each = [
        model.encode(unseen(kind, clips // 8, FRAMES if device != "cpu" else 5, 77 + i, device, False))
        for i in range(4)
        for kind in ("classic", "wide")
    ]
    latents = torch.cat(each)
    return latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))


@torch.no_grad()
def rescale(model: VideoAutoencoder, mean: Tensor, std: Tensor) -> None:
    """Fold z ← (z − mean) / std into the two 1×1×1 convolutions on either side of the latents."""
    n = LATENT_CHANNELS
    before, after = model.conv1, model.conv2
    assert before.bias is not None and after.bias is not None
    after.bias += after.weight[:, :, 0, 0, 0] @ mean
    after.weight *= std[None, :, None, None, None]
    before.weight[:n] /= std[:, None, None, None, None]
    before.bias[:n] = (before.bias[:n] - mean) / std
    before.bias[n:] -= 2 * std.log()


@torch.no_grad()
def measure(
    work: Path, device: str, clips: int, frames: int, photographs: bool, sheet: Path | None = None
) -> dict[str, dict]:
    """Peak signal-to-noise ratio in dB on clips never trained on, each kind of KINDS: mean over clips, worst clip, and
    worst frame of all."""
    model, result, shown = finished(work, device), {}, []
    for number, kind in enumerate(KINDS):
        pixels = unseen(kind, clips, frames, 500_000 + number, device, photographs)
        output = torch.cat([model.decode(model.encode(part)).clamp(-1, 1) for part in pixels.split(4)])
        squared = ((output - pixels) / 2).square().mean(dim=(1, 3, 4))
        of_clips, of_frames = -10 * squared.mean(1).log10(), -10 * squared.log10()
        result[kind] = {
            "mean": round(of_clips.mean().item(), 2),
            "worst_clip": round(of_clips.min().item(), 2),
            "worst_frame": round(of_frames.min().item(), 2),
        }
        shown += [clip for i in range(2) for clip in (pixels[i], output[i])]
        print(json.dumps({kind: result[kind]}), flush=True)
    if sheet:
        write_sheet(sheet, torch.stack(shown), across=8)
    return result
