"""The motion embedding file: what it holds, and every way in which it can be bad."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from motion_lib import __version__
from motion_lib.errors import MotionError
from motion_lib.files.convert import MODELSCOPE
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.embedding import QK_AXES, V_AXES, MotionEmbedding
from motion_lib.method.integration import INTEGRATIONS
from tests.tiny import random_embedding, said_by, saying, tiny_backbone

DATA = Path(__file__).parent / "data"
DETAILS = {
    "title": "a wave",
    "author": "somebody",
    "prompt": "a red star",
    "fps": 8.0,
    "steps": 40,
    "range": [5, 9],
}


@pytest.fixture
def embedding() -> MotionEmbedding:
    return saying(random_embedding(tiny_backbone(), "deep"), DETAILS)


@pytest.fixture
def good(embedding: MotionEmbedding, tmp_path: Path) -> Path:
    path = tmp_path / "good.safetensors"
    save_embedding(path, embedding)
    return path


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata())


@pytest.mark.parametrize("components", ["both", "qk", "v"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_round_trip(tmp_path: Path, components: str, dtype: torch.dtype) -> None:
    before = saying(random_embedding(tiny_backbone(), components=components), DETAILS)
    save_embedding(tmp_path / "a.safetensors", before, dtype)
    after = load_embedding(tmp_path / "a.safetensors")
    assert (after.backbone, after.grids, after.frames, said_by(after)) == (tiny_backbone(), before.grids, 3, DETAILS)
    assert after.tensors.keys() == before.tensors.keys()
    for key, tensor in after.tensors.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, before.tensors[key].to(dtype).float())
    assert {t.dtype for t in contents(tmp_path / "a.safetensors")[0].values()} == {dtype}


def test_the_header_says_everything(good: Path, embedding: MotionEmbedding) -> None:
    tensors, header = contents(good)
    assert header["format"] == "motion_embedding" and header["format_version"] == "1"
    assert header["library_version"] == __version__ and header["frames"] == "3"
    assert header["modelspec.title"] == "a wave" and header["modelspec.author"] == "somebody"
    assert json.loads(header["details"]) == {"prompt": "a red star", "fps": 8.0, "steps": 40, "range": [5, 9]}
    assert json.loads(header["grids"]) == {name: list(grid) for name, grid in embedding.grids.items()}
    described = json.loads(header["backbone"])
    assert described["family"] == "unet3d" and len(described["layers"]) == len(tiny_backbone().layers)
    assert {"name": "transformer_in", "channels": 32, "depth": 0, "block": "in"} in described["layers"]
    assert set(tensors) == {f"{s}.{k}" for s in embedding.layers for k in ("qk", "attn1.v", "attn2.v")}


def test_size_is_half_precision_and_a_small_header(good: Path, embedding: MotionEmbedding) -> None:
    assert good.stat().st_size - 2 * embedding.numel() < 5000


def test_a_camera_file_of_zeroscope_is_below_a_megabyte(tmp_path: Path) -> None:
    """Query-key embeddings alone, all 15 sites, 24 frames."""
    embedding = MotionEmbedding.zeros(MODELSCOPE, "all", 24, (40, 72), "qk")
    save_embedding(tmp_path / "camera.safetensors", embedding)
    assert len(embedding.layers) == 15 and (tmp_path / "camera.safetensors").stat().st_size < 550_000


def counted(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """What the files of version 1 hold: values that count up in steps of 1/64 from -4, tensors alphabetically."""
    tensors, start = {}, 0
    for key in sorted(shapes):
        count = math.prod(shapes[key])
        tensors[key] = (torch.arange(start, start + count) % 512).reshape(shapes[key]) / 64 - 4
        start += count
    return tensors


@pytest.mark.parametrize(
    ("file", "sites", "frames", "size", "components", "title"),
    [
        ("embedding_v1_qk", "all", 5, (5, 6), "qk", "Version 1, query-key only"),
        ("embedding_v1_v_float32", "up_blocks.1.*", 2, (3, 4), "v", "Version 1, value only"),
    ],
)
def test_more_files_of_version_1(
    file: str, sites: str, frames: int, size: tuple[int, int], components: str, title: str
) -> None:
    found = load_embedding(DATA / f"{file}.safetensors")
    like = MotionEmbedding.zeros(tiny_backbone(), sites, frames, size, components)
    expected = counted({key: like.shapes()[key] for key in like.tensors})
    assert (found.integration, found.qk_axes, found.v_axes) == ("add", "none", "2d")
    assert (found.backbone, found.grids, found.frames) == (tiny_backbone(), like.grids, frames)
    assert found.origin.title == title and found.tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.tensors.items())


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize("qk_axes", QK_AXES)
@pytest.mark.parametrize("v_axes", V_AXES)
def test_every_kind_of_embedding_is_kept(tmp_path: Path, integration: str, qk_axes: str, v_axes: str) -> None:
    """Only what version 1 does not know is written as version 2, and what that does not know as version 3."""
    before = random_embedding(tiny_backbone(), "deep", integration=integration, qk_axes=qk_axes, v_axes=v_axes)
    save_embedding(tmp_path / "a.safetensors", before, torch.float32)
    after = load_embedding(tmp_path / "a.safetensors")
    for name in ("integration", "qk_axes", "v_axes", "grids", "frames", "backbone"):
        assert getattr(after, name) == getattr(before, name)
    assert after.tensors.keys() == before.tensors.keys()
    assert all(torch.equal(tensor, before.tensors[key]) for key, tensor in after.tensors.items())
    header = contents(tmp_path / "a.safetensors")[1]
    plain = (integration, qk_axes, v_axes) == ("add", "none", "2d")
    assert header["format_version"] == ("1" if plain else "3" if v_axes == "coarse" else "2")
    assert {"integration", "qk_axes", "v_axes"}.isdisjoint(header) == plain


def test_nothing_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="holds no tensors"):
        save_embedding(tmp_path / "a.safetensors", random_embedding(tiny_backbone(), components="none"))
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_version_1_still_reads() -> None:
    """Written by the release that introduced the format; tensors count up in steps of 1/64, alphabetically."""
    found = load_embedding(DATA / "embedding_v1.safetensors")
    assert (DATA / "embedding_v1.safetensors").stat().st_size < 30_000
    assert found.frames == 3 and found.backbone.describe() == "unet3d (8-16-32 channels, 8 temporal layers)"
    assert found.grids == {"down_blocks.1.temp_attentions.0": (2, 3), "up_blocks.0.temp_attentions.1": (2, 3)}
    assert said_by(found) == {"title": "Version 1", "prompt": "a red star on a grey plain background", "fps": 8.0}
    start = 0
    for key in sorted(found.tensors):
        shape = (1 if key.endswith(".qk") else 6, 3, 16)
        count = shape[0] * 3 * 16
        expected = (torch.arange(start, start + count) % 512).reshape(shape) / 64
        assert torch.equal(found.tensors[key], expected), key
        start += count
    assert len(found.tensors) == 6


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_that_the_file_cannot_hold_are_refused(tmp_path: Path, embedding: MotionEmbedding, value: float) -> None:
    key = next(iter(embedding.tensors))
    embedding.tensors[key][0, 0, 0] = value
    with pytest.raises(MotionError, match=rf"tensor {key} is not finite as torch\.float16: .*a\.safetensors"):
        save_embedding(tmp_path / "a.safetensors", embedding)
    assert list(tmp_path.iterdir()) == []
    if value == 1e6:
        save_embedding(tmp_path / "a.safetensors", embedding, torch.float32)


def test_folders_that_cannot_be_written(good: Path, embedding: MotionEmbedding, tmp_path: Path) -> None:
    kept = good.read_bytes()
    for path in (good / "a.safetensors", tmp_path):
        with pytest.raises(MotionError, match=f"^Cannot write {path}"):
            save_embedding(path, embedding)
    assert good.read_bytes() == kept and list(tmp_path.iterdir()) == [good]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_without_permission(embedding: MotionEmbedding, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(MotionError, match="Permission denied"):
        save_embedding(tmp_path / "a.safetensors", embedding)
    tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(good: Path, embedding: MotionEmbedding, monkeypatch) -> None:
    kept = good.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MotionError, match=r"Cannot write .*good\.safetensors: No space left on device"):
        save_embedding(good, embedding)
    assert good.read_bytes() == kept and list(good.parent.iterdir()) == [good]


def raw(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


HUGE = json.dumps({"x": {"dtype": "F16", "shape": [1 << 40], "data_offsets": [0, 1 << 41]}}).encode()
MISMATCH = json.dumps({"x": {"dtype": "F16", "shape": [100], "data_offsets": [0, 4]}}).encode()
ODD = json.dumps({"x": {"dtype": "F99", "shape": [2], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"abc", "cut short"),
        (b"not a safetensors file at all" * 9, "not a safetensors file"),
        (raw(b"{}", length=1 << 60), "should have 1152921504606846976 bytes"),
        (raw(b"{}" + b" " * 50, length=9 << 20), "not a safetensors file"),
        (raw(b"{}", length=0), "not a safetensors file"),
        (raw(b"{broken"), "not a sound safetensors file"),
        (raw(b"\xff\xfe{}"), "not a sound safetensors file"),
        (raw(b"[1, 2]"), "not a sound safetensors file"),
        (raw(b'{"x": 3}'), "not a sound safetensors file"),
        (raw(b"[" * 200_000), "not a sound safetensors file"),
        (raw(HUGE, b"\0" * 64), "its tensor x ends 2199023255552 bytes into the data, but there are only 64"),
        (raw(b'{"__metadata__": {"format": 3}}'), "its __metadata__ should hold texts alone"),
        (raw(b'{"__metadata__": {"format": "a", "format": "b"}}'), "a field is there twice"),
        (raw(b"{}", b"\0" * 4), "4 bytes of data follow the header, but its tensors end after 0"),
        (raw(b'{"__metadata__": {"format": "\\u001b[2J' + b"evil" * 999 + b'"}}'), r"is a \\u001b\[2Jevilevil.*… file"),
        (raw(b"{}"), "safetensors file of another kind"),
        (b"PK\x03\x04" + b"\0" * 99, "not a safetensors file"),
    ],
)
def test_bytes_that_are_no_embedding(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "bad.safetensors").write_bytes(data)
    with pytest.raises(MotionError, match=f"^bad.safetensors .*{message}"):
        load_embedding(tmp_path / "bad.safetensors")


@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_short_anywhere(share: float) -> None:
    whole = (DATA / "embedding_v1.safetensors").read_bytes()
    path = DATA.parent / f".cut-{os.getpid()}.safetensors"
    try:
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(MotionError, match="cut"):
            load_embedding(path)
    finally:
        path.unlink()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"nothing\.safetensors cannot be read: No such file"):
        load_embedding(tmp_path / "nothing.safetensors")
    with pytest.raises(MotionError, match="cannot be read: Is a directory"):
        load_embedding(tmp_path)


def test_nothing_of_a_large_file_is_read_whose_header_is_wrong(tmp_path: Path) -> None:
    """A terabyte of holes: reading it would end the process."""
    length = 1 << 40
    for header in (
        {"x": {"dtype": "F16", "shape": [length // 2], "data_offsets": [0, length]}},
        {"x": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}},
    ):
        text = json.dumps(header).encode()
        with (tmp_path / "large.safetensors").open("wb") as file:
            file.write(raw(text))
            file.truncate(8 + len(text) + length)
        with pytest.raises(MotionError, match=r"^large.safetensors is"):
            load_embedding(tmp_path / "large.safetensors")


def test_what_could_not_be_read_is_not_written(embedding: MotionEmbedding, tmp_path: Path) -> None:
    del embedding.tensors[f"{SITE}.attn2.v"]
    with pytest.raises(MotionError, match=f"{SITE}.attn2.v is missing"):
        save_embedding(tmp_path / "a.safetensors", embedding)
    assert list(tmp_path.iterdir()) == []


Change = Callable[[dict[str, torch.Tensor], dict[str, str]], object]
SITE = "down_blocks.1.temp_attentions.0"
LAYER = {"name": "a", "channels": 1, "depth": 0, "block": "in"}


def described(header: dict[str, str], **changes) -> None:
    """Change the first layer in the field backbone."""
    value = json.loads(header["backbone"])
    value["layers"][0].update(changes)
    header["backbone"] = json.dumps(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: h.update(format="lora"), "is a lora file, not a motion_embedding file"),
        (lambda t, h: h.pop("format"), "safetensors file of another kind"),
        (lambda t, h: h.update(format_version="4"), "format_version 4, newer than 3: update"),
        (lambda t, h: h.update(integration="mix"), "the header field integration is 'mix', but it must be one of add"),
        (lambda t, h: h.update(qk_axes="full"), r"shape \[1, 3, 16\], but \[\d+, 3, 16\] is expected"),
        (lambda t, h: h.update(integration="concatenate"), "qk.map is missing"),
        (lambda t, h: t.update({f"{SITE}.qk.map": torch.zeros(4, 16)}), "a tensor .*map, which belongs to no layer"),
        (lambda t, h: h.update(format_version="one"), "field format_version is not JSON"),
        (lambda t, h: h.update(format_version="true"), "field format_version should be a int"),
        (lambda t, h: h.pop("backbone"), "field backbone is missing"),
        (lambda t, h: h.update(backbone="[]"), "field backbone should be a dict"),
        (lambda t, h: h.update(backbone="{}"), "backbone or grids are malformed"),
        (lambda t, h: h.update(backbone='{"family": "x", "layers": 3}'), "backbone or grids are malformed"),
        (lambda t, h: described(h, channels="320"), "backbone or grids are malformed .*channels"),
        (lambda t, h: described(h, depth=-1), "backbone or grids are malformed .*depth -1"),
        (lambda t, h: described(h, block="side"), "backbone or grids are malformed .*side"),
        (lambda t, h: described(h, colour="red"), "backbone or grids are malformed .*colour"),
        (lambda t, h: h.update(grids='{"a": [1]}'), "backbone or grids are malformed"),
        (lambda t, h: h.update(grids='{"nowhere": [1, 2]}'), "grids names nowhere"),
        (lambda t, h: h.update(grids="[" * 100_000), "field grids is not JSON"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [Infinity, 1]}}'), "cannot have a grid of infx1"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [-1, -6]}}'), "cannot have a grid of -1x-6"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [0, 6]}}'), "cannot have a grid of 0x6"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [1{"0" * 4000}, 6]}}'), "cannot have a grid of 1000"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [1{"0" * 9000}, 6]}}'), "field grids is not JSON"),
        (lambda t, h: h.update(grids=f'{{"{SITE}": [2, 3], "{SITE}": [2, 3]}}'), "a field is there twice"),
        (lambda t, h: described(h, channels=10**99), "cannot have 1000"),
        (lambda t, h: described(h, name="\x1b[2J"), r"\\u001b\[2J is not a name"),
        (lambda t, h: described(h, name="a" * 201), "a… is not a name"),
        (lambda t, h: described(h, name="down_blocks.0.temp_attentions.0"), "two layers have one name"),
        (lambda t, h: h.update(backbone=json.dumps({"family": "x", "layers": [LAYER] * 1025})), "1 to 1024 layers"),
        (lambda t, h: h.update(backbone=json.dumps({"family": 3, "layers": [LAYER]}), grids="{}"), "3 is not a name"),
        (lambda t, h: h.update(frames="-3"), "field frames is -3, but it should be 1 to"),
        (lambda t, h: h.update(frames="1" * 4000), "field frames is 1111"),
        (lambda t, h: h.update(format_version="9" * 4000), r"format_version 999.*\.\.\.9*, newer than 3"),
        (lambda t, h: h.update(details="[" * 100_000), "field details is not JSON"),
        (lambda t, h: h.update(details='{"fps": 1' + "0" * 9000 + "}"), "field details is not JSON"),
        (
            lambda t, h: t.update({"a\x1b]0;evil": torch.zeros(1)}),
            r"a tensor a\\u001b\]0;evil, which belongs to no layer",
        ),
        (lambda t, h: t.update({f"{SITE}.qk": torch.zeros(1, 3, 16).int()}), f"{SITE}.qk is of the type I32"),
        (lambda t, h: t.update({f"{SITE}.qk": torch.zeros(1, 3, 16).to(torch.float8_e5m2)}), "of the type F8_E5M2"),
        (lambda t, h: h.update(frames="0.5"), "field frames should be a int"),
        (lambda t, h: h.update(frames="4"), r"has the shape \[\d+, 3, 16\], but \[\d+, 4, 16\] is expected"),
        (lambda t, h: h.pop("frames"), "field frames is missing"),
        (lambda t, h: h.pop("details"), "field details is missing"),
        (lambda t, h: t.clear(), "holds no tensors"),
        (lambda t, h: t.pop(f"{SITE}.qk"), f"tensor {SITE}.qk is missing"),
        (lambda t, h: t.pop(f"{SITE}.attn2.v"), f"tensor {SITE}.attn2.v is missing"),
        (lambda t, h: t.update({f"{SITE}.qk": torch.zeros(1, 3, 8)}), r"shape \[1, 3, 8\], but \[1, 3, 16\]"),
        (lambda t, h: t.update({f"{SITE}.attn1.v": torch.zeros(3, 16)}), f"{SITE}.attn1.v has the shape"),
        (lambda t, h: t.update(extra=torch.zeros(1)), "a tensor extra, which belongs to no layer"),
        (lambda t, h: t[f"{SITE}.qk"].fill_(float("nan")), f"{SITE}.qk contains NaN"),
        (lambda t, h: t[f"{SITE}.attn2.v"][0, 0].fill_(float("inf")), f"{SITE}.attn2.v contains NaN or infinity"),
    ],
)
def test_changed_fields_and_tensors(good: Path, tmp_path: Path, change: Change, message: str) -> None:
    tensors, header = contents(good)
    change(tensors, header)
    save_file(tensors, tmp_path / "bad.safetensors", header)
    with pytest.raises(MotionError, match=f"^bad.safetensors.*{message}") as caught:
        load_embedding(tmp_path / "bad.safetensors")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
