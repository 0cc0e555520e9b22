"""Stage 1: the image autoencoder, trained on single rendered frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..render import render
from ..scene import random_scenes
from . import checkpoint
from .design import AUTOENCODER, SCALING_FACTOR
from .run import Run


def new_autoencoder() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**AUTOENCODER)


def frame_batch(count: int, seed: int, device: str) -> Tensor:
    """Rendered frames `[count, 3, h, w]` in [-1, 1]; the same seed gives the same frames."""
    scenes = random_scenes(count, 2, generator=torch.Generator().manual_seed(seed))
    return render(scenes.to(device))[:, 0] * 2 - 1


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 of the pixels and of their differences, so that edges count as much as areas."""
    edges = sum((output.diff(dim=d) - target.diff(dim=d)).abs().mean() for d in (2, 3))
    return (output - target).abs().mean() + edges


def train(work: Path, steps: int, batch: int, minutes: float, device: str, rate: float = 1.5e-3) -> None:
    run = Run(work / "autoencoder.pt", steps, minutes, device)
    torch.manual_seed(0)
    model = new_autoencoder().to(run.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    if state := run.start(model):
        optimizer.load_state_dict(state["optimizer"])

    def objective(images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        posterior = model.encode(images).latent_dist
        latents = posterior.mean + posterior.std * noise
        output = model.decode(latents).sample
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return reconstruction_loss(output, images) + 2e-5 * kl, (output - images).detach().abs().mean()

    compiled = torch.compile(objective) if device == "cuda" else objective
    side = AUTOENCODER["sample_size"] // 8
    while run.step < steps and not run.clock.over():
        images = frame_batch(batch, 1_000_000 + run.step, run.device).contiguous(memory_format=torch.channels_last)
        noise = torch.randn(batch, 4, side, side, device=run.device)
        for group in optimizer.param_groups:
            group["lr"] = rate * checkpoint.cosine(run.step, steps, 200)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, error = compiled(images, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        checkpoint.average(run.ema, model, min(0.999, (run.step + 1) / (run.step + 10)))
        run.count(error)
        if run.step % 200 == 0 or run.done == 20:
            run.tell(l1=round(run.mean().item() / 2, 5))  # frames run from -1 to 1: half of it is in units of [0, 1]
    run.save(model, optimizer=optimizer.state_dict())


def finished(work: Path, device: str):
    """The averaged autoencoder, its latents shifted and scaled to mean 0 and standard deviation 1 / SCALING_FACTOR."""
    state = checkpoint.load(work / "autoencoder.pt", device)
    assert state is not None, f"{work} holds no autoencoder: run that stage first"
    model = new_autoencoder().to(device)
    model.load_state_dict(state["ema"])
    model.requires_grad_(False).eval()
    with torch.no_grad():
        latents = torch.cat([model.encode(frame_batch(256, i, device)).latent_dist.mean for i in range(8)])
        mean, scale = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)) * SCALING_FACTOR
        _normalise(model, mean, scale)
    return model


def _normalise(model, mean: Tensor, scale: Tensor) -> None:
    """Fold z ← (z − mean) / scale into the two 1×1 convolutions on either side of the latents."""
    n = len(mean)
    before, after = model.quant_conv, model.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= scale[None, :, None, None]
    before.weight[:n] /= scale[:, None, None, None]
    before.bias[:n] = (before.bias[:n] - mean) / scale
    before.bias[n:] -= 2 * scale.log()


def measure(model, device: str, batches: int = 8) -> dict:
    """Mean absolute error and peak signal-to-noise ratio on unseen frames, in units of [0, 1]."""
    with torch.no_grad():
        pairs = [
            (model.decode(model.encode(x).latent_dist.mean).sample.clamp(-1, 1), x)
            for x in (frame_batch(64, 10_000 + i, device) for i in range(batches))
        ]
    difference = torch.cat([(a - b) / 2 for a, b in pairs])
    psnr = -10 * torch.log10(difference.square().mean(dim=(1, 2, 3))).mean()
    return {"l1": round(difference.abs().mean().item(), 5), "psnr_db": round(psnr.item(), 2)}


def latent_clips(model, seeds: range, clips: int, device: str, frames: int):
    """Yield `(scenes, latents [clips, 4, f, h, w] in the UNet's scale)` for every seed."""
    for seed in seeds:
        scenes = random_scenes(clips, frames, generator=torch.Generator().manual_seed(seed))
        pixels = render(scenes.to(device)).flatten(0, 1) * 2 - 1
        with torch.no_grad():
            latents = model.encode(pixels.to(next(model.parameters()).dtype)).latent_dist.mean * SCALING_FACTOR
        yield scenes, latents.unflatten(0, (clips, frames)).transpose(1, 2)
