"""Models of Wan 2.1's two sizes with random weights, and clips to learn from: time and memory of a layer do not depend
on what it has learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor

from ..backbones.text import WAN_TOKENS
from ..backbones.wan.denoiser import WanDenoiser
from ..diffusion.flow import FlowMatching
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..training.presets import STACKED
from .device_use import free
from .full_size import draw_weights

PRESET = STACKED["object"]
PROCESS = FlowMatching(shift=3.0)
CHANNELS = 16  # of latents
SHARED = {"attention_head_dim": 128, "in_channels": CHANNELS, "out_channels": CHANNELS, "text_dim": 4096}
# 1.4 and 14.3 billion parameters.
SIZES: dict[str, dict[str, Any]] = {
    "wan-1.3b": {**SHARED, "num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    "wan-14b": {**SHARED, "num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
}
# The same blocks, small: for trying the benchmark where there is no GPU.
SMALL = {
    **SHARED,
    **{"attention_head_dim": 16, "text_dim": 32, "num_attention_heads": 2, "ffn_dim": 64, "num_layers": 6},
}


@dataclass(frozen=True)
class WanShape:
    """A clip in frames and pixels. Raises MotionError for sides that are no multiples of 16, and for frames that are
    not one more than a multiple of 4: Wan's autoencoder makes one latent frame of the first, and one of every 4 after.
    """

    frames: int = 33
    width: int = 832
    height: int = 480

    def __post_init__(self) -> None:
        if self.frames < 1 or self.frames % 4 != 1:
            raise MotionError(f"frames is {self.frames}, but Wan takes one more than a multiple of 4, such as 33.")
        if min(self.width, self.height) < 16 or self.width % 16 or self.height % 16:
            raise MotionError(f"Pictures are {self.width}×{self.height}, but their sides must be multiples of 16.")

    @property
    def latents(self) -> tuple[int, int, int, int, int]:
        """`[1, c, f, h, w]`."""
        return 1, CHANNELS, (self.frames - 1) // 4 + 1, self.height // 8, self.width // 8

    @property
    def tokens(self) -> int:
        """What the attention sees at once."""
        *_, frames, height, width = self.latents
        return frames * (height // 2) * (width // 2)

    def __str__(self) -> str:
        return f"{self.frames} frames {self.width}×{self.height} ({self.tokens} tokens)"


def random_wan(config: dict[str, Any], device: torch.device, dtype: torch.dtype, seed: int = 0) -> WanDenoiser:
    """Every weight Gaussian with a spread of 0.6/√fan-in, drawn on the device, in this type; on the meta device none.
    The angles of places are in float32, as they are in a model that was loaded."""
    with torch.device("meta"):
        network: Any = WanTransformer3DModel(**config)
    rope = network.rope
    network = torch.nn.Module.to(network, dtype).to_empty(device=device)
    network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(device)
    if device.type != "meta":
        draw_weights(network, device, seed)
    return WanDenoiser(network, PROCESS)


@dataclass
class WanBench:
    """The machine and the model, of which at most one is loaded. name: one of SIZES, or small."""

    name: str
    device: torch.device
    dtype: torch.dtype = torch.bfloat16
    config: dict[str, Any] = field(default_factory=dict)
    _loaded: WanDenoiser | None = None

    def __post_init__(self) -> None:
        self.config = self.config or SIZES.get(self.name, SMALL)

    def denoiser(self) -> WanDenoiser:
        if self._loaded is None:
            free()
            self._loaded = random_wan(self.config, self.device, self.dtype)
        return self._loaded

    def without_data(self) -> WanDenoiser:
        """The model on the meta device, for estimates."""
        return random_wan(self.config, torch.device("meta"), self.dtype)

    def clear(self) -> None:
        self._loaded = None
        free()

    def of_blocks(self, count: int, dtype: torch.dtype) -> WanBench:
        """The same with so many blocks, in another type; it loads a model of its own."""
        return WanBench(self.name, self.device, dtype, {**self.config, "num_layers": count})

    def clip(self, shape: WanShape) -> Tensor:
        """Clean latents `[1, c, f, h, w]`."""
        return torch.randn(shape.latents, generator=torch.Generator().manual_seed(2)).to(self.device, self.dtype)

    def text(self, videos: int = 1) -> Tensor:
        """Text embeddings `[b, tokens, width]` of the size of UMT5-XXL's."""
        generator = torch.Generator().manual_seed(1)
        drawn = torch.randn(videos, WAN_TOKENS, self.config["text_dim"], generator=generator)
        return drawn.to(self.device, self.dtype)

    def empty(self, denoiser: WanDenoiser, shape: WanShape) -> MotionEmbedding:
        """Where the preset `object` begins to learn."""
        *_, frames, height, width = shape.latents
        return PRESET.empty(denoiser.backbone, frames, (height, width))

    def drawn(self, denoiser: WanDenoiser, shape: WanShape) -> MotionEmbedding:
        """A random embedding of the preset's form, on the device."""
        empty, generator = self.empty(denoiser, shape), torch.Generator().manual_seed(3)
        tensors = {key: 0.1 * torch.randn(t.shape, generator=generator) for key, t in empty.tensors.items()}
        return empty.with_tensors(tensors).to(self.device)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def weights(self) -> int:
        """Bytes of the model."""
        return sum(weight.nbytes for weight in (self._loaded or self.without_data()).network.parameters())
