"""What families with temporal attention of their own share: where in a UNet a module stands, which layers are spatial,
and random weights."""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from ..method.embedding import Site

Stage = Literal["in", "down", "mid", "up"]
ORDER = ("in", "down", "mid", "up")


def place_of(name: str, levels: int) -> tuple[Stage, int]:
    """The stage of a UNet that a module belongs to, by its name, and how many halvings below the latent it works."""
    part, *index = name.split(".")[:2]
    if part == "down_blocks":
        return "down", int(index[0])
    if part == "up_blocks":
        return "up", levels - 1 - int(index[0])
    return ("mid", levels - 1) if part == "mid_block" else ("in", 0)


def layers_of(unet: Any, kind: type[nn.Module]) -> tuple[Site, ...]:
    """Name, width and depth of every temporal transformer of this kind, in the order in which they run.

    Raises ValueError for one with more than one block, whose attentions would share a name.
    """
    levels, layers = len(unet.config.block_out_channels), []
    found: list[tuple[str, Any]] = [(name, module) for name, module in unet.named_modules() if isinstance(module, kind)]
    for name, module in found:
        if len(module.transformer_blocks) != 1:
            raise ValueError(f"{name} has {len(module.transformer_blocks)} blocks, but supported is one")
        stage, depth = place_of(name, levels)
        layers.append(Site(name, module.proj_in.out_features, depth, stage))
    return tuple(sorted(layers, key=lambda layer: ORDER.index(layer.block)))


def spatial_linears(unet: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers in attention and feed-forward of the spatial transformers, by module name."""
    transformers = {name: m for name, m in unet.named_modules() if isinstance(m, Transformer2DModel)}
    return {
        f"{name}.transformer_blocks.{part}": module
        for name, transformer in transformers.items()
        for part, module in transformer.transformer_blocks.named_modules()
        if isinstance(module, nn.Linear)
    }


def randomise(model: nn.Module, seed: int) -> None:
    """Every weight random, since what a constructor leaves at zero would hide faults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            spread = 0.6 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
