"""The video autoencoder of Wan 2.1, with the parameter names of its files.

Hosts run it a few frames at a time and remember what its convolutions saw; here a whole clip goes through at once,
which gives the same numbers and is what training needs. The first frame stands alone, every four frames after it become
one latent frame.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .design import AUTOENCODER_DIM, LATENT_CHANNELS

MULTIPLES = (1, 2, 4, 4)
RES_BLOCKS = 2
TEMPORAL_DOWNSAMPLE = (False, True, True)


def _norm(x: Tensor, gamma: Tensor) -> Tensor:
    """Each position's channels scaled to a root mean square of one."""
    wide = x.float()
    return (wide * (wide.square().mean(1, keepdim=True) + 1e-12).rsqrt() * gamma).to(x.dtype)


def _norm_silu(x: Tensor, gamma: Tensor) -> Tensor:
    wide = x.float()
    y = wide * (wide.square().mean(1, keepdim=True) + 1e-12).rsqrt() * gamma
    return (y * torch.sigmoid(y)).to(x.dtype)


class Speed:
    """How the layers are computed: exact alternatives, chosen by what is fastest on a device."""

    norm_silu = staticmethod(_norm_silu)
    flat = False  # a convolution over time and space as one over space, of three frames' channels


class RMSNorm(nn.Module):
    def __init__(self, dim: int, images: bool):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, *(1, 1) if images else (1, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return _norm(x, self.gamma)


class CausalConv3d(nn.Conv3d):
    """A convolution over time and space that sees no later frame."""

    def __init__(self, channels_in: int, channels_out: int, size: Any, padding: Any = 0, stride: Any = 1):
        super().__init__(channels_in, channels_out, size, stride=stride, padding=padding)
        self.before, self.around = 2 * self.padding[0], self.padding[1:]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if self.before:
            x = F.pad(x, (0, 0, 0, 0, int(self.before), 0))
        if Speed.flat and self.kernel_size == (3, 3, 3):
            return self._flat(x)
        return F.conv3d(x, self.weight, self.bias, self.stride, (0, *self.around))  # type: ignore[arg-type]

    def _flat(self, x: Tensor) -> Tensor:
        frames = x.shape[2] - 2
        three = torch.cat([x[:, :, i : i + frames] for i in range(3)], dim=1).transpose(1, 2).flatten(0, 1)
        weight = self.weight.transpose(1, 2).flatten(1, 2)
        y = F.conv2d(three.contiguous(memory_format=torch.channels_last), weight, self.bias, padding=self.around)  # type: ignore[arg-type]
        return y.unflatten(0, (x.shape[0], frames)).transpose(1, 2)


class ResidualBlock(nn.Module):
    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.residual = nn.Sequential(
            RMSNorm(dim_in, images=False),
            nn.SiLU(),
            CausalConv3d(dim_in, dim_out, 3, padding=1),
            RMSNorm(dim_out, images=False),
            nn.SiLU(),
            nn.Dropout(0.0),
            CausalConv3d(dim_out, dim_out, 3, padding=1),
        )
        self.shortcut = CausalConv3d(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        layers: Any = self.residual
        y = layers[2](Speed.norm_silu(x, layers[0].gamma))
        y = layers[6](Speed.norm_silu(y, layers[3].gamma))
        return self.shortcut(x) + y


class AttentionBlock(nn.Module):
    """Self-attention within each frame, with one head."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = RMSNorm(dim, images=True)
        self.to_qkv = nn.Conv2d(dim, dim * 3, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, _, t, h, w = x.shape
        y = self.to_qkv(self.norm(x.transpose(1, 2).flatten(0, 1)))
        q, k, v = (part.flatten(2).transpose(1, 2) for part in y.chunk(3, dim=1))
        y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        y = self.proj(y.transpose(1, 2).unflatten(2, (h, w)))
        return x + y.unflatten(0, (b, t)).transpose(1, 2)


class Resample(nn.Module):
    def __init__(self, dim: int, mode: str):
        super().__init__()
        self.mode = mode
        if mode.startswith("up"):
            self.resample = nn.Sequential(
                nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact"), nn.Conv2d(dim, dim // 2, 3, padding=1)
            )
        else:
            self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2))
        if mode == "upsample3d":
            self.time_conv = CausalConv3d(dim, dim * 2, (3, 1, 1), padding=(1, 0, 0))
        elif mode == "downsample3d":
            self.time_conv = CausalConv3d(dim, dim, (3, 1, 1), stride=(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "upsample3d" and x.shape[2] > 1:
            later = self.time_conv(x[:, :, 1:]).unflatten(1, (2, -1))
            x = torch.cat([x[:, :, :1], later.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], dim=2)
        x = self._each_frame(x)
        if self.mode == "downsample3d" and x.shape[2] > 1:
            x = torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)
        return x

    def _each_frame(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        return self.resample(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, -1)).transpose(1, 2)


def _head(dim: int, channels: int) -> nn.Sequential:
    return nn.Sequential(RMSNorm(dim, images=False), nn.SiLU(), CausalConv3d(dim, channels, 3, padding=1))


def _through_head(head: Any, x: Tensor) -> Tensor:
    return head[2](Speed.norm_silu(x, head[0].gamma))


class Encoder(nn.Module):
    def __init__(self, dim: int, channels: int):
        super().__init__()
        dims = [dim * m for m in (1, *MULTIPLES)]
        self.conv1 = CausalConv3d(3, dims[0], 3, padding=1)
        layers: list[nn.Module] = []
        for i, (dim_in, dim_out) in enumerate(pairwise(dims)):
            layers += [ResidualBlock(dim_in if j == 0 else dim_out, dim_out) for j in range(RES_BLOCKS)]
            if i < len(MULTIPLES) - 1:
                layers.append(Resample(dim_out, "downsample3d" if TEMPORAL_DOWNSAMPLE[i] else "downsample2d"))
        self.downsamples = nn.Sequential(*layers)
        top = dims[-1]
        self.middle = nn.Sequential(ResidualBlock(top, top), AttentionBlock(top), ResidualBlock(top, top))
        self.head = _head(top, channels)

    def forward(self, x: Tensor) -> Tensor:
        return _through_head(self.head, self.middle(self.downsamples(self.conv1(x))))


class Decoder(nn.Module):
    def __init__(self, dim: int, channels: int):
        super().__init__()
        dims = [dim * m for m in (MULTIPLES[-1], *reversed(MULTIPLES))]
        self.conv1 = CausalConv3d(channels, dims[0], 3, padding=1)
        self.middle = nn.Sequential(
            ResidualBlock(dims[0], dims[0]), AttentionBlock(dims[0]), ResidualBlock(dims[0], dims[0])
        )
        layers: list[nn.Module] = []
        for i, (dim_in, dim_out) in enumerate(pairwise(dims)):
            dim_in = dim_in // 2 if i else dim_in  # the upsampling before halved it
            layers += [ResidualBlock(dim_in if j == 0 else dim_out, dim_out) for j in range(RES_BLOCKS + 1)]
            if i < len(MULTIPLES) - 1:
                layers.append(Resample(dim_out, "upsample3d" if TEMPORAL_DOWNSAMPLE[::-1][i] else "upsample2d"))
        self.upsamples = nn.Sequential(*layers)
        self.head = _head(dims[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        return _through_head(self.head, self.upsamples(self.middle(self.conv1(x))))


class VideoAutoencoder(nn.Module):
    """Frames `[b, 3, 1 + 4n, h, w]` in [-1, 1] to latents `[b, 16, 1 + n, h/8, w/8]` and back."""

    def __init__(self, dim: int = AUTOENCODER_DIM):
        super().__init__()
        self.encoder = Encoder(dim, 2 * LATENT_CHANNELS)
        self.conv1 = CausalConv3d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.conv2 = CausalConv3d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(dim, LATENT_CHANNELS)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """A linear map at first, that keeps what it can: residual branches add nothing yet, and what is left of the
        convolutions is orthogonal. (With torch's defaults the colours were not learned in 3,000 steps.)"""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.orthogonal_(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                last: Any = module.residual[6]
                last.weight.zero_()
            elif isinstance(module, AttentionBlock):
                module.proj.weight.zero_()
        # Hardly any noise: drowned in it, most channels would learn nothing for long.
        self.conv1.weight[LATENT_CHANNELS:] *= 0.01
        self.conv1.bias[LATENT_CHANNELS:] = -6.0  # type: ignore[index]

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latents."""
        mean, log_variance = self.conv1(self.encoder(frames)).chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def encode(self, frames: Tensor) -> Tensor:
        return self.moments(frames)[0]

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(self.conv2(latents))
