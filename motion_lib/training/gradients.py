"""Gradients of a loss: in half precision too, and no larger than allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def backward(loss: Tensor, latents: Tensor, tensors: Iterable[Tensor]) -> None:
    """Give the tensors the gradients of the loss in place of those they had. That of a mean over all values of a clip
    is so small that most of it would vanish in float16 on its way through the model (measured at full size: cosine to
    the right one .37); times a power of two it does not (1.00), and in float32 the result is the same bit for bit."""
    tensors = list(tensors)
    for tensor in tensors:
        tensor.grad = None
    scale = 2.0 ** (latents[:1].numel().bit_length() - 3)
    (scale * loss).backward()
    if gradients := [tensor.grad for tensor in tensors if tensor.grad is not None]:
        torch._foreach_mul_(gradients, 1 / scale)  # exact, by a power of two


def clip_gradients(tensors: Iterable[Tensor], largest: float) -> Tensor:
    """The norm of all gradients, before they are brought down to the largest that is allowed; 0 is no limit."""
    return torch.nn.utils.clip_grad_norm_(list(tensors), largest or math.inf)
