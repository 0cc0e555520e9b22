"""`find`: the motion most like another, or that words say, among the files of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from motion_lib.bundled.samples import SAMPLES
from motion_lib.cli import main
from motion_lib.codes.from_clip import embedding_of, reader_of
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.algebra import mirror
from motion_lib.sprites import Words, render
from motion_lib.sprites.motions import reference
from motion_lib.video import write_video

MOTIONS = ("figure_eight", "bounce", "orbit", "pan")


def frames_in(motion: str, look: Words, seed: int):
    video = render(reference(motion, look, frames=16, seed=seed))[0]
    return (video * 255).round().byte().permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Motions read in one look, one of them mirrored since, and two files that hold none."""
    folder, reader = tmp_path_factory.mktemp("library"), reader_of(None)
    for name in MOTIONS:
        frames = frames_in(name, Words("ring", "red", "grey", "checkered"), 1)
        save_embedding(folder / f"{name}.safetensors", embedding_of(reader, frames, name)[0])
    save_embedding(folder / "edited.safetensors", mirror(load_embedding(folder / "orbit.safetensors")))
    (folder / "broken.safetensors").write_bytes(b"\xff" * 40)
    (folder / "notes.txt").write_text("not a motion")
    return folder


def find(capsys, *options: str) -> dict:
    assert main(["find", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("motion", "group"), [*((m, "object") for m in MOTIONS[:3]), ("pan", "camera")])
def test_the_same_motion_in_another_look_comes_first(library, motion, group, tmp_path, capsys) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, frames_in(motion, Words("square", "blue", "grey", "striped"), 5), 8)
    found = find(capsys, str(clip), str(library), "--group", group)["found"]
    assert found[0]["file"] == f"{motion}.safetensors" and len(found) == len(MOTIONS)


def test_a_file_is_most_like_itself(library, capsys) -> None:
    found = find(capsys, str(library / "orbit.safetensors"), str(library), "--top", "1")["found"]
    assert [f["file"] for f in found] == ["orbit.safetensors"] and found[0]["likeness"] > 0.999


def test_words_find_a_motion(library, capsys) -> None:
    assert find(capsys, str(library), "--text", "camera pans")["found"][0]["file"] == "pan.safetensors"


def test_an_edited_file_is_not_compared_and_says_why(library, capsys) -> None:
    others = find(capsys, str(library), "--text", "circles")["not_compared"]
    assert others == [{"file": "edited.safetensors", "why": "it was edited since its clip was read"}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["{}", "--text", "qwertz"], "says nothing of a motion; the words known are"),
        (["{}"], "either a clip or a file before the folder, or words"),
        ([str(SAMPLES["figure_eight"].path), "{}", "--text", "circles"], "either a clip or a file"),
        (["{}", "{}", "{}"], "give one clip or file, and one folder"),
        (["{}", "--text", "circles", "--top", "0"], "--top is 0"),
        (["{}/notes.txt", "--text", "circles"], "is not a folder"),
        (["{}/edited.safetensors", "{}"], "does not say how its clip moves"),
    ],
)
def test_what_cannot_be_looked_for(library, options, said, capsys) -> None:
    assert main(["find", *(option.format(library) for option in options)]) != 0
    assert said in capsys.readouterr().err
