"""Value embeddings in few bits: the codes by hand, the error by theory, and files that cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from motion_lib.errors import MotionError
from motion_lib.files.compress import BITS, CODES, LEVELS, SCALES, _join, _split, lloyd, pack, unpack
from motion_lib.files.embedding_file import load_embedding, save_embedding
from tests.tiny import randn, random_embedding, said_by, saying, tiny_backbone

DATA = Path(__file__).parent / "data"
SITE = "down_blocks.0.temp_attentions.0"
V = f"{SITE}.attn1.v"


def test_codes_by_hand() -> None:
    """The first value is in the lowest bits."""
    codes = torch.tensor([[3, 0, 2, 1, 1, 1, 0, 0]], dtype=torch.uint8)
    assert _join(codes, 2).tolist() == [[0b01_10_00_11, 0b00_00_01_01]]
    assert _join(codes, 4).tolist() == [[0x03, 0x12, 0x11, 0x00]]
    assert _join(codes, 8).tolist() == codes.tolist()


@given(bits=st.sampled_from(BITS), seed=st.integers(0, 99), bytes_=st.integers(1, 9))
def test_codes_come_back(bits: int, seed: int, bytes_: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(2**bits, (3, bytes_ * 8 // bits), generator=generator).to(torch.uint8)
    assert torch.equal(_split(_join(codes, bits), bits).to(torch.uint8), codes)


@pytest.mark.parametrize(("bits", "theory"), [(2, 0.1175), (4, 0.009497)])
def test_levels_are_as_good_as_they_can_be_for_gaussian_values(bits: int, theory: float) -> None:
    """Mean squared error of the best quantiser of a normal distribution (Max 1960, table I)."""
    values = randn(1 << 18)
    levels = lloyd(values, 2**bits)
    nearest = levels[torch.bucketize(values, (levels[1:] + levels[:-1]) / 2)]
    assert float((nearest - values).square().mean()) == pytest.approx(theory, rel=0.02)
    assert (levels.diff() > 0).all()


@pytest.mark.parametrize(("bits", "error"), [(2, 0.36), (4, 0.1), (8, 0.02)])
def test_relative_error_and_size(bits: int, error: float) -> None:
    embedding = random_embedding(tiny_backbone(), "all", 5, (9, 10))
    packed = pack(embedding.tensors, bits)
    found = unpack("a", packed, bits)
    assert found.keys() == embedding.tensors.keys()
    for key, tensor in embedding.tensors.items():
        if len(tensor) == 1:
            assert torch.equal(found[key], tensor)
        else:
            assert (found[key] - tensor).norm() / tensor.norm() < error
            assert packed[key + CODES].numel() * 8 == tensor.numel() * bits


def test_zeros_stay_zero_and_rows_keep_their_size() -> None:
    """As masked embeddings need; rows of very different size do not spoil each other."""
    tensor = torch.stack([torch.zeros(3, 16), 1e-3 * randn(3, 16), 1e3 * randn(3, 16, seed=1)])
    found = unpack("a", pack({V: tensor}, 4), 4)[V]
    assert not found[0].any()
    for row in (1, 2):
        assert (found[row] - tensor[row]).norm() / tensor[row].norm() < 0.15


def test_rows_that_do_not_fill_bytes_stay_as_they_are() -> None:
    tensors = {V: randn(4, 3, 7)}
    assert pack(tensors, 2).keys() == tensors.keys()
    assert torch.equal(unpack("a", tensors, 2)[V], tensors[V])


@pytest.mark.parametrize("integration", ["add", "concatenate"])
@pytest.mark.parametrize("bits", BITS)
def test_files(tmp_path: Path, bits: int, integration: str) -> None:
    """Reading needs to be told nothing, and gives what unpacking gives."""
    before = saying(random_embedding(tiny_backbone(), integration=integration), {"title": "wave"})
    save_embedding(tmp_path / "a.safetensors", before, bits=bits)
    after = load_embedding(tmp_path / "a.safetensors")
    halves = {k: t.half() for k, t in before.tensors.items()}
    expected = unpack("", pack(halves, bits), bits)
    assert (after.origin, after.grids, after.integration) == (before.origin, before.grids, integration)
    assert after.tensors.keys() == before.tensors.keys()
    assert all(torch.equal(t, expected[k].float()) and t.dtype == torch.float32 for k, t in after.tensors.items())
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert (file.metadata()["format_version"], file.metadata()["compression"]) == ("2", str(bits))


def test_the_compressed_file_of_version_2_still_reads() -> None:
    """Written when compression was introduced: levels -3, -1, 1, 3, scales 1/2 for even frames and 2 for odd ones,
    codes that count 0, 1, 2, 3 along channels; maps count up in 64ths."""
    found = load_embedding(DATA / "embedding_v2_compressed.safetensors")
    assert (found.integration, found.qk_axes, found.v_axes) == ("concatenate", "none", "2d")
    assert said_by(found) == {"title": "Version 2, compressed"}
    row = torch.tensor([-3.0, -1.0, 1.0, 3.0] * 8)
    assert torch.equal(found.tensors[V], torch.stack([0.5 * row, 2 * row, 0.5 * row]).expand(6, 3, 32))
    assert torch.equal(found.tensors[f"{V}.map"], torch.arange(32 * 8).reshape(32, 8) / 64)


def test_bits_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="bits is 3, but it must be one of 2, 4, 8"):
        save_embedding(tmp_path / "a.safetensors", random_embedding(tiny_backbone()), bits=3)
    assert list(tmp_path.iterdir()) == []


Change = Callable[[dict[str, torch.Tensor], dict[str, str]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: h.update(compression="8"), "field compression is 8, but there are no levels that fit"),
        (lambda t, h: h.update(compression="3"), "field compression is 3"),
        (lambda t, h: h.update(compression="many"), "field compression is not JSON"),
        (lambda t, h: h.pop("compression"), "holds a tensor .*, which belongs to no layer"),
        (lambda t, h: t.pop(LEVELS), "there are no levels that fit"),
        (lambda t, h: t.update(levels=torch.zeros(4, dtype=torch.int32)), "levels is of the type I32"),
        (lambda t, h: t.update(levels=torch.full((4,), float("nan"))), "contains NaN"),
        (lambda t, h: t.pop(V + CODES), f"the codes or the scales of the compressed tensor {V} are missing"),
        (lambda t, h: t.pop(V + SCALES), f"the codes or the scales of the compressed tensor {V} are missing"),
        (lambda t, h: t.update({V + CODES: t[V + CODES].int()}), f"{V}.codes is of the type I32"),
        (lambda t, h: t.update({V + SCALES: t[V + SCALES][:1]}), f"codes and scales of the compressed tensor {V}"),
        (lambda t, h: t.update({V + CODES: t[V + CODES][..., :1].clone()}), rf"{V} has the shape \[30, 3, 4\]"),
        (lambda t, h: t.update({V: torch.zeros(30, 3, 8)}), f"holds the tensor {V} twice"),
    ],
)
def test_damaged_files(tmp_path: Path, change: Change, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_embedding(path, random_embedding(tiny_backbone(), SITE), bits=2)
    with safe_open(path, "pt") as file:
        header = dict(file.metadata())
    tensors = load_file(path)
    change(tensors, header)
    save_file(tensors, path, header)
    with pytest.raises(MotionError, match=f"^bad.safetensors.*{message}") as caught:
        load_embedding(path)
    assert "\n" not in str(caught.value)
