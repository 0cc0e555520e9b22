"""The encoder's file: it comes back as it was, and nothing unsound is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from motion_lib.codes import codes_file
from motion_lib.codes.codes_file import load_codes, save_codes
from motion_lib.codes.reader import Reader
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, read

from .conftest import SMALL, clips


@pytest.fixture(scope="module")
def file(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codes") / "tiny.safetensors"
    save_codes(path, reader)
    return path


def changed(file: Path, out: Path, header: dict[str, str] | None = None, **tensors: torch.Tensor) -> Path:
    _, own = read(file)
    save_file(load_file(file) | tensors, out, metadata=own | (header or {}))
    return out


@torch.no_grad()
def test_what_is_read_back_reads_the_same_within_half_precision(file: Path, reader: Reader) -> None:
    again = load_codes(file)
    assert again.codes.design == reader.codes.design and again.model == "tiny"
    assert again.backbone == reader.backbone and again.seen.most == reader.seen.most
    ours, theirs = (each.codes.encode(clips(1))[0] for each in (reader, again))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02)
    embedding = again.embedding(theirs[0])
    assert {key: tuple(m.shape) for key, m in embedding.tensors.items()} == embedding.shapes()


def test_an_embedding_is_no_encoder_and_an_encoder_no_embedding(file: Path) -> None:
    with pytest.raises(MotionError, match="motion_embedding file, not a motion_codes file"):
        load_codes(Path(codes_file.__file__).parents[1] / "bundled/samples/figure_eight.safetensors")
    with pytest.raises(MotionError, match="motion_codes file, not a motion_embedding file"):
        load_embedding(file)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format_version", "99", "format_version"),
        ("design", "[]", "design"),
        ("design", json.dumps(SMALL | {"width": 9}), "shape"),
        ("design", json.dumps(SMALL | {"frames": 5}), "frames"),
        ("design", json.dumps(SMALL | {"encoder": "oracle"}), "encoder"),
        ("design", json.dumps(SMALL | {"hidden": 10**9}), "hidden"),
        ("most", '"far"', "most"),
        ("most", "-1.0", "seen in training"),
        ("most", "NaN", "seen in training"),
        ("backbone", "{}", "backbone"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(file: Path, tmp_path: Path, field: str, value: str, said: str) -> None:
    with pytest.raises(MotionError, match=said):
        load_codes(changed(file, tmp_path / "bad.safetensors", {field: value}))


def test_tensors_that_are_not_the_design_s_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="extra"):
        load_codes(changed(file, tmp_path / "a.safetensors", extra=torch.zeros(1)))
    with pytest.raises(MotionError, match="NaN"):
        load_codes(changed(file, tmp_path / "b.safetensors", **{"narrow.bias": torch.full((8,), torch.nan).half()}))
    with pytest.raises(MotionError, match="seen in training"):
        load_codes(changed(file, tmp_path / "c.safetensors", **{"seen.mean": torch.zeros(3)}))


def test_what_is_not_finite_in_half_precision_is_not_written(reader: Reader, tmp_path: Path) -> None:
    from .conftest import small_reader

    broken = small_reader()
    with torch.no_grad():
        broken.codes.narrow.bias[0] = 1e6
    with pytest.raises(MotionError, match=r"narrow\.bias"):
        save_codes(tmp_path / "x.safetensors", broken)
    assert not (tmp_path / "x.safetensors").exists()
