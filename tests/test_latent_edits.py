"""Latents and noise that go along with an edited embedding."""

from __future__ import annotations

import torch

from motion_lib.method import algebra, joining
from motion_lib.method.latent_edits import edited_like, loop, mirror, place, retime, reverse
from tests.tiny import randn, random_embedding, tiny_backbone

LATENTS = randn(2, 4, 5, 3, 6)


def frames(*rows: int) -> torch.Tensor:
    return LATENTS[:, :, list(rows)]


def test_by_hand() -> None:
    assert torch.equal(mirror(LATENTS), LATENTS[..., [5, 4, 3, 2, 1, 0]])
    assert torch.equal(mirror(LATENTS, "vertical"), LATENTS[:, :, :, [2, 1, 0]])
    assert torch.equal(reverse(LATENTS), frames(4, 3, 2, 1, 0))
    assert torch.equal(retime(LATENTS, 2.0), frames(0, 2, 4, 4, 4))
    assert torch.equal(retime(LATENTS, 0.5), frames(0, 0, 1, 2, 2))
    assert torch.equal(loop(LATENTS), frames(0, 2, 4, 2, 0))
    assert torch.equal(loop(LATENTS, "close"), LATENTS)
    assert torch.equal(place(LATENTS, right=1 / 3), LATENTS[..., [4, 5, 0, 1, 2, 3]])
    assert torch.equal(place(LATENTS, down=-1 / 3), LATENTS[:, :, :, [1, 2, 0]])
    assert torch.equal(place(LATENTS, zoom=2.0), LATENTS[:, :, :, [1, 1, 2]][..., [1, 2, 2, 3, 3, 4]])


def test_edits_are_repeated_in_their_order() -> None:
    embedding = random_embedding(tiny_backbone())
    assert edited_like(embedding, LATENTS) is LATENTS
    edited = algebra.scale(algebra.retime(algebra.reverse(algebra.mirror(embedding)), 2.0), 0.5)
    assert torch.equal(edited_like(edited, LATENTS), retime(reverse(mirror(LATENTS)), 2.0))
    assert torch.equal(
        edited_like(algebra.loop(algebra.mirror(embedding, "vertical")), LATENTS), loop(mirror(LATENTS, "vertical"))
    )
    assert torch.equal(edited_like(algebra.place(embedding, 0.5), LATENTS), place(LATENTS, 0.5))
    twice = algebra.reverse(algebra.reverse(embedding))
    assert torch.equal(edited_like(twice, LATENTS), LATENTS)


def test_of_joined_embeddings_the_first_counts() -> None:
    a, b = random_embedding(tiny_backbone()), random_embedding(tiny_backbone(), seed=2)
    assert torch.equal(edited_like(joining.add(algebra.reverse(a), algebra.mirror(b)), LATENTS), reverse(LATENTS))
