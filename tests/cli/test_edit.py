"""Editing files as a user would, and generating with what came out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_lib import load_embedding, save_embedding
from motion_lib.cli import build_parser, main
from motion_lib.cli import generate as generate_command
from motion_lib.cli.generate import patch_of
from motion_lib.errors import MotionError
from motion_lib.method import algebra, joining
from motion_lib.method.application import usual_patch
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.video import read_clip
from tests.cli.conftest import SMALL
from tests.tiny import said_by, saying


def edit(out: Path, *arguments: str) -> MotionEmbedding:
    assert main(["edit", *arguments, "--out", str(out)]) == 0
    return load_embedding(out)


def same(a: MotionEmbedding, b: MotionEmbedding) -> bool:
    return a.tensors.keys() == b.tensors.keys() and all(
        torch.equal(t.half(), b.tensors[k].half()) for k, t in a.tensors.items()
    )


def test_operations_run_in_the_order_given(motion: str, tmp_path: Path) -> None:
    m = load_embedding(motion)
    found = edit(tmp_path / "a.safetensors", motion, "--retime", "2", "--reverse", "--mirror", "vertical")
    assert same(found, algebra.mirror(algebra.reverse(algebra.retime(m, 2.0)), "vertical"))
    assert not same(
        found, edit(tmp_path / "b.safetensors", motion, "--reverse", "--retime", "2", "--mirror", "vertical")
    )
    assert [edit.name for edit in found.origin.made_from] == ["retime", "reverse", "mirror"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--loop", "close"), lambda m: algebra.loop(m, "close")),
        (("--frames", "7"), lambda m: algebra.retime(m, frames=7)),
        (("--scale", "-0.5"), lambda m: algebra.scale(m, -0.5)),
        (("--scale-qk", "0"), lambda m: algebra.scale(m, qk=0)),
        (("--scale-v", "2"), lambda m: algebra.scale(m, v=2)),
        (("--region", "0,0.5,1,1"), lambda m: algebra.masked(m, algebra.region(0, 0.5, 1, 1))),
        (("--place=-0.25,0.5",), lambda m: algebra.place(m, -0.25, 0.5)),
        (("--place", "0,0,2"), lambda m: algebra.place(m, zoom=2.0)),
        (("--bake", "advised"), algebra.baked),
        (("--bake", "difference3"), lambda m: algebra.baked(m, "difference3")),
    ],
)
def test_every_operation(motion: str, tmp_path: Path, options: tuple[str, ...], expected) -> None:
    assert same(edit(tmp_path / "a.safetensors", motion, *options), expected(load_embedding(motion)))


def test_compressed_files_are_small_and_say_so(motion: str, tmp_path: Path, capsys) -> None:
    small = tmp_path / "small.safetensors"
    found, m = edit(small, motion, "--compress", "2"), load_embedding(motion)
    assert small.stat().st_size < Path(motion).stat().st_size / 2
    assert found.tensors.keys() == m.tensors.keys() and not found.origin.made_from
    capsys.readouterr()
    for file, words in ((small, "stored: 2 bits a value"), (motion, "stored: float16")):
        assert main(["inspect", str(file)]) == 0
        assert words in capsys.readouterr().out


def test_masks_are_pictures(motion: str, tmp_path: Path) -> None:
    Image.new("L", (4, 4), 51).save(tmp_path / "mask.png")
    found = edit(tmp_path / "a.safetensors", motion, "--mask", str(tmp_path / "mask.png"))
    assert same(found, algebra.masked(load_embedding(motion), torch.full((4, 4), 0.2)))


@pytest.mark.parametrize(
    ("options", "join"),
    [
        (("--blend", "0.3"), lambda a, b: joining.blend(a, b, 0.3)),
        (("--add",), joining.add),
        (("--subtract",), joining.subtract),
        (("--combine",), joining.combine),
        (("--then",), joining.chain),
    ],
)
def test_joining(motion: str, tmp_path: Path, options: tuple[str, ...], join) -> None:
    """What comes before acts on both, what comes after on the result."""
    other = tmp_path / "other.safetensors"
    edit(other, motion, "--mirror", "horizontal", "--scale", "3")
    found = edit(tmp_path / "a.safetensors", motion, str(other), "--reverse", *options, "--scale", "2")
    a, b = load_embedding(motion), load_embedding(other)
    assert same(found, algebra.scale(join(algebra.reverse(a), algebra.reverse(b)), 2))


def test_files_that_are_applied_differently(motion: str, tmp_path: Path, capsys) -> None:
    """Only those that are cause a warning, and baking as advised takes the cause away."""
    other, m = tmp_path / "other.safetensors", load_embedding(motion)
    advice = {"debias": "difference", "strength_v": 0.5}
    save_embedding(other, saying(m, {**said_by(m), "apply": advice}))
    for operations, warned in ((("--add",), True), (("--combine",), False), (("--bake", "advised", "--add"), False)):
        capsys.readouterr()
        found = edit(tmp_path / "a.safetensors", motion, str(other), *operations, "--title", "both")
        assert ("--bake advised before joining" in capsys.readouterr().err) == warned
        assert found.origin.title == "both"
    assert usual_patch(found).debias == "vanilla"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--add",), "--add joins two files, but there are 1"),
        (("--retime", "0"), "speed is 0.0"),
        (("--mask", "missing.png"), "missing.png cannot be read"),
        (("--region", "0.5,0,0.5,1"), "is not a box"),
        (("--scale", "0"), "holds no tensors"),
    ],
)
def test_bad_operations(motion: str, tmp_path: Path, capsys, options: tuple[str, ...], message: str) -> None:
    assert main(["edit", motion, *options, "--out", str(tmp_path / "a.safetensors")]) == 2
    assert message in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_two_files_without_a_joining_operation(motion: str, tmp_path: Path, capsys) -> None:
    assert main(["edit", motion, motion, "--reverse", "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "2 files need an operation that joins them" in capsys.readouterr().err


def test_inspect_tells_what_was_done(motion: str, tmp_path: Path, capsys) -> None:
    edit(tmp_path / "a.safetensors", motion, "--region", "0,0,0.5,1")
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "a.safetensors"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["details"]["made_from"] == [{"edit": "masked", "size": [256, 256], "share": 0.5}]
    assert summary["holds"].endswith("spatial axes of the query-key embeddings: full")


def generate(folder: str, out: Path, *options: str) -> torch.Tensor:
    common = ["--model", folder, "--prompt", "a star", "--steps", "2", "--guidance", "2", "--seed", "3", *SMALL]
    assert main(["generate", "--out", str(out), *common, *options]) == 0
    return read_clip(out).frames


def test_curves_reach_the_patch(motion: str) -> None:
    common = ["generate", "--prompt", "x", "--out", "x.mp4", "--motion", motion]
    asked = build_parser().parse_args([*common, "--curve", "0:1,0.5:0.2", "--frame-curve", "1:0.5", "--end", "0.9"])
    patch, plain = (patch_of(o, load_embedding(motion)) for o in (asked, build_parser().parse_args(common)))
    assert (patch.curve, patch.frame_curve, patch.end) == (((0.0, 1.0), (0.5, 0.2)), ((1.0, 0.5),), 0.9)
    assert (plain.curve, plain.frame_curve) == ((), ())
    with pytest.raises(MotionError, match=r"^--frame-curve is '9'"):
        patch_of(build_parser().parse_args([*common, "--frame-curve", "9"]), load_embedding(motion))


def test_a_curve_of_zero_is_no_motion_bit_for_bit(folder: str, motion: str, tmp_path: Path, capsys) -> None:
    strong = ("--motion", motion, "--strength-v", "5", "--debias", "vanilla", "--end", "1", "--frames", "9")
    plain = generate(folder, tmp_path / "a.webm", "--frames", "9")
    assert torch.equal(generate(folder, tmp_path / "b.webm", *strong, "--curve", "0:0"), plain)
    assert not torch.equal(generate(folder, tmp_path / "c.webm", *strong, "--frame-curve", "0:1,1:0"), plain)
    assert "9 frames instead of 4" in capsys.readouterr().err


def test_the_reference_goes_along_with_the_edits(
    folder: str, motion: str, clip: str, tmp_path: Path, monkeypatch
) -> None:
    """What is inverted is the clip as the file was edited."""
    inverted = []

    def invert_clip(model, latents: torch.Tensor, steps: int) -> torch.Tensor:
        inverted.append(latents)
        return latents

    monkeypatch.setattr(generate_command, "invert_clip", invert_clip)
    edit(tmp_path / "edited.safetensors", motion, "--reverse", "--mirror", "horizontal", "--scale", "2")
    for file in (motion, str(tmp_path / "edited.safetensors")):
        generate(folder, tmp_path / "a.webm", "--motion", file, "--reference", clip)
    assert torch.equal(inverted[1], inverted[0].flip(2, 4))
