"""Encoders, decoder and heads: shapes, and what must hold whatever was learned."""

from __future__ import annotations

import pytest
import torch

from motion_lib.backbones.unet3d import family
from motion_lib.codes.decoder import SEEN, patch_of
from motion_lib.codes.design import GROUPS, TRUTHS, Design
from motion_lib.codes.encoders import ENCODERS, Codebook
from motion_lib.codes.inputs import INPUTS
from motion_lib.diffusion.schedulers import process_of
from motion_lib.errors import MotionError
from motion_lib.method.patch import MotionPatch

from .conftest import clips, noise, small_codes


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("encoder", ENCODERS)
@torch.no_grad()
def test_every_encoder_makes_codes_of_every_input(encoder: str, inputs: str) -> None:
    codes = small_codes(encoder=encoder, inputs=inputs)
    made, loss = codes.encode(clips(2), noise(2, 4, 4, 16, 16))
    assert made.shape == (2, 4, len(GROUPS), 8) and made.isfinite().all()
    assert (float(loss) > 0) == (encoder == "vq")
    read = codes.truths(made)
    assert {name: v.shape for name, v in read.items()} == {
        name: (2, 4, n) for truths in TRUTHS.values() for name, n in truths.items()
    }
    for vector in codes.described(made).values():
        torch.testing.assert_close(vector.norm(dim=-1), torch.ones(2))


@torch.no_grad()
def test_the_frame_itself_is_no_input() -> None:
    """Of frame t the encoder is told the frame before and the change: brightness that comes and stays is seen once."""
    frames = torch.zeros(1, 4, 3, 64, 64)
    frames[:, 2:] = 1
    seen = INPUTS["frame_pairs"].see(frames, None)[0]
    assert seen[:3].mean(dim=(0, 2, 3)).tolist() == [-1, -1, -1, 1]
    assert seen[3:].mean(dim=(0, 2, 3)).tolist() == [0, 0, 2, 0]


@torch.no_grad()
def test_an_untrained_decoder_changes_nothing() -> None:
    codes = small_codes(zero=True)
    assert not any(m.any() for m in codes.tensors(noise(2, 4, 2, 8)).values())


@torch.no_grad()
def test_what_is_decoded_has_the_shape_of_an_embedding_and_a_low_rank() -> None:
    codes = small_codes(rank=3)
    embedding = codes.embedding(noise(4, 2, 8))
    assert {key: tuple(m.shape) for key, m in embedding.tensors.items()} == embedding.shapes()
    for m in embedding.tensors.values():
        assert int(torch.linalg.matrix_rank(m.flatten(0, 1), rtol=1e-4)) <= 3 + SEEN


@torch.no_grad()
def test_a_batch_of_motions_acts_as_each_of_them_alone() -> None:
    codes, process = small_codes(), process_of({"_class_name": "DDIMScheduler"}, "test")
    tiny = family.tiny(torch.float32, process)
    latents, text = noise(3, 4, 4, 8, 8), tiny.conditioning(3, 0)
    times = torch.tensor([100, 500, 900])
    made = noise(3, 4, 2, 8)
    together = tiny.denoiser(latents, times, text, [patch_of(codes.tensors(made), codes.decoder.empty.grids)])
    for i, own in enumerate(made):
        patch = MotionPatch(codes.embedding(own), debias="vanilla").prepare(4, (8, 8), "cpu", torch.float32)
        one = slice(i, i + 1)
        alone = tiny.denoiser(latents[one], times[one], text[one], [patch])
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)
    plain = tiny.denoiser(latents, times, text)
    assert float((plain - together).abs().max()) > 1e-3


def test_a_codebook_gives_back_its_own_entries_and_passes_gradients() -> None:
    torch.manual_seed(0)
    book = Codebook(8, entries=5)
    with torch.no_grad():
        book.entries.normal_()
    own = torch.cat([book.entries[0, 3], book.entries[1, 1]]).detach()
    given = (own + 0.001).requires_grad_()
    found, loss = book(given[None])
    torch.testing.assert_close(found[0], own, rtol=0, atol=1e-6)
    assert loss.item() == pytest.approx(1.25e-6, rel=1e-2)
    found.sum().backward()
    assert torch.equal(given.grad, torch.ones(8))


@pytest.mark.parametrize(
    ("field", "value"),
    [("inputs", "smell"), ("width", 0), ("heads", 5), ("frames", True), ("places", 6), ("hidden", 10**6)],
)
def test_a_design_that_cannot_be_built_is_refused(field: str, value: object) -> None:
    with pytest.raises(MotionError, match=field):
        Design(**{field: value})  # type: ignore[arg-type]


def test_an_unknown_encoder_or_field_is_refused() -> None:
    with pytest.raises(MotionError, match="encoder is 'crystal ball'"):
        small_codes(encoder="crystal ball")
    with pytest.raises(MotionError, match="colour"):
        Design.of({"colour": "red"})


def test_the_usual_encoder_is_small_enough() -> None:
    """At most 5 M parameters, and 10 MiB in half precision, for the bundled model's layers."""
    from motion_lib.backbones import load_model
    from motion_lib.sprites.recipe.codes.train import new_codes

    count = sum(p.numel() for p in new_codes(Design(), load_model("sprite_t2v")).parameters())
    assert count <= 5_000_000 and 2 * count + 2 * 257 * 256 <= 10 << 20
