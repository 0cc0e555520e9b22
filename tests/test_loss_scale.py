"""Gradients in half precision."""

from __future__ import annotations

import torch

from motion_lib.training.gradients import backward
from motion_lib.training.losses import mse
from tests.tiny import randn


def test_gradients_survive_half_precision_and_are_exact_in_single() -> None:
    """A gradient of the size that a full-size model has, 1e-8, through one multiplication in float16."""
    latents = randn(1, 4, 16, 40, 64)
    m = randn(*latents.shape, seed=1).requires_grad_()

    def loss(dtype: torch.dtype):
        return mse((1e-2 * m.to(dtype)).float(), latents, torch.Generator())

    gradients = {}
    for dtype in (torch.float32, torch.float16):
        backward(loss(dtype), latents, [m])
        assert m.grad is not None
        gradients[dtype] = m.grad.clone()
    m.grad = None
    loss(torch.float32).backward()
    assert m.grad is not None and torch.equal(m.grad, gradients[torch.float32])
    error = (gradients[torch.float16] - m.grad).norm() / m.grad.norm()
    assert error < 1e-3
    m.grad = None
    loss(torch.float16).backward()
    assert ((m.grad - gradients[torch.float32]).norm() / m.grad.norm()) > 0.05  # what this is for
