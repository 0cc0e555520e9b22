"""A folder of videos becomes a folder of motions, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_lib import load_embedding
from motion_lib.cli import learning, main
from motion_lib.cli.library import clips_in, files_of, process_of, prompts_of, read_table
from motion_lib.errors import MotionError
from motion_lib.files.claims import claimed
from motion_lib.video import write_video
from tests.cli.conftest import SMALL
from tests.tiny import said_by


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three videos, with what they show beside them."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
        for i in range(4):
            frames[i, :, 8 * i : 8 * i + 8 - number] = 200
        write_video(folder / f"{name}.mp4", frames, 8)
        (folder / f"{name}.txt").write_text(f"a bar {name}\n")
    return folder


@pytest.fixture
def library(clips: Path, folder: str, tmp_path: Path) -> Callable[..., int]:
    def run(*options: str) -> int:
        return main(command(clips, folder, tmp_path / "out", *options))

    return run


def command(clips: Path, model: str, out: Path, *options: str) -> list[str]:
    return ["train", str(clips), "--model", model, "--out", str(out), *SMALL, "--steps", "2", *options]


def test_a_file_for_each_and_nothing_twice(library, clips: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    assert library("--json") == 0
    assert json.loads(capsys.readouterr().out)["clips"].keys() == {"a.mp4", "b.mp4", "c.mp4"}
    for name in "abc":
        details = said_by(load_embedding(tmp_path / "out" / f"{name}.safetensors"))
        assert details["prompt"] == f"a bar {name}" and details["trained_steps"] == 2
    (tmp_path / "out" / "b.safetensors").unlink()
    monkeypatch.setattr(learning, "train", counted := Counted(learning.train))
    assert library() == 0
    assert counted.calls == 1 and capsys.readouterr().out.count("was learned before") == 2


class Counted:
    def __init__(self, inner):
        self.inner, self.calls = inner, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.inner(*arguments)


def test_a_stopped_run_carries_on_where_it_was(library, tmp_path: Path, monkeypatch, capsys) -> None:
    original, seen = learning.train, []

    def interrupted(*arguments):
        seen.append(1)
        for state in original(*arguments):
            yield state
            if len(seen) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(learning, "train", interrupted)
    assert library() == 130
    monkeypatch.setattr(learning, "train", original)
    assert library() == 0
    captured = capsys.readouterr()
    assert "Carrying on from step 1" in captured.err and "a.mp4: was learned before" in captured.out
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 3


def test_bad_clips_do_not_stop_the_rest(library, clips: Path, tmp_path: Path, capsys) -> None:
    (clips / "a.mp4").write_bytes(b"no video")
    (clips / "b.txt").unlink()
    assert library() == 2
    captured = capsys.readouterr()
    assert "2 of 3 videos were not learned: a.mp4, b.mp4" in captured.err
    assert "a.mp4: failed:" in captured.out and "write that to b.txt" in captured.out
    assert [path.name for path in (tmp_path / "out").glob("*.safetensors")] == ["c.safetensors"]


def test_a_file_made_otherwise_is_not_taken_for_done(library, tmp_path: Path, capsys) -> None:
    assert library() == 0
    assert library("--seed", "5") == 2
    assert "a.safetensors is there already, from a run that differs in its seed: give another --out" in (
        capsys.readouterr().out
    )


def test_two_processes_share_the_videos(clips: Path, folder: str, tmp_path: Path) -> None:
    """As accelerate's launcher starts them."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "motion_lib", *command(clips, folder, tmp_path / "out", "--json")],
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    results = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [sorted(result["clips"]) for result in results] == [["a.mp4", "c.mp4"], ["b.mp4"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{name}.safetensors" for name in "abc"]


def test_which_folders_are_libraries(clips: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    shutil.copy(clips / "a.mp4", tmp_path / "a.mp4")
    assert clips_in(tmp_path) == [] and clips_in(clips / "a.mp4") == []
    stills = clips / "stills"
    stills.mkdir()
    Image.new("RGB", (8, 8)).save(stills / "1.png")
    (clips / "empty").mkdir()
    assert [path.name for path in clips_in(clips)] == ["a.mp4", "b.mp4", "c.mp4", "stills"]


def test_prompts(clips: Path, tmp_path: Path) -> None:
    found = clips_in(clips)
    (clips / "c.txt").unlink()
    table = tmp_path / "prompts.csv"
    table.write_text('file,prompt\na.mp4,"a bar, fast"\n')
    assert list(prompts_of(found, table, "else").values()) == ["a bar, fast", "a bar b", "else"]
    (tmp_path / "prompts.json").write_text('{"b.mp4": "json"}')
    assert read_table(tmp_path / "prompts.json") == {"b.mp4": "json"}
    table.write_text("file,prompt\nx.mp4,a\n")
    with pytest.raises(MotionError, match=r"names x\.mp4, which is not in the folder"):
        prompts_of(found, table, None)
    for name, content in (("bad.csv", "name,text\na,b\n"), ("bad.json", "[1"), ("other.json", '{"a.mp4": 3}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(MotionError, match=name):
            read_table(tmp_path / name)


def test_names_and_places() -> None:
    out = Path("out")
    clips = [Path("a.mp4"), Path("a.gif"), Path("b.mp4")]
    assert [path.name for path in files_of(clips, out).values()] == [
        "a.mp4.safetensors",
        "a.gif.safetensors",
        "b.safetensors",
    ]
    assert process_of({}) == (0, 1, 0)
    assert process_of({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == (5, 8, 1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--mask", "m.png"), "--mask belongs to one video"),
        (("--prompt", "a", "--prompt", "b"), "takes one --prompt for all"),
    ],
)
def test_options_of_one_video(options, sentence: str, library, capsys) -> None:
    assert library(*options) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_as_out_is_refused(clips: Path, folder: str, tmp_path: Path, capsys) -> None:
    assert main(command(clips, folder, tmp_path / "out.safetensors")) == 2
    assert "must be a folder" in capsys.readouterr().err


def test_one_video_still_needs_a_prompt(clips: Path, folder: str, tmp_path: Path, capsys) -> None:
    assert main(command(clips / "a.mp4", folder, tmp_path / "a.safetensors")) == 2
    assert "Say with --prompt what the video shows" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["fast", "low_memory"])
def test_modes_learn_the_same(mode: str, train, motion: str, tmp_path: Path, capsys) -> None:
    assert train(tmp_path / "fast.safetensors", "--mode", mode) == 0
    assert f"Training mode {mode}" in capsys.readouterr().err
    found, expected = load_embedding(tmp_path / "fast.safetensors"), load_embedding(motion)
    for key, tensor in found.tensors.items():
        away = (tensor - expected.tensors[key]).float().abs().median()
        assert away < 0.01 * expected.tensors[key].float().abs().median() + 1e-4


@pytest.mark.parametrize("change", [("--sites", "deep"), ("--components", "qk"), ("--v-axes", "1d")])
def test_a_file_of_something_else_is_not_taken_for_done(change: tuple[str, str], library, clips, capsys) -> None:
    for name in "bc":
        (clips / f"{name}.mp4").unlink()
    assert library("--sites", "coarse") == 0
    capsys.readouterr()
    assert library("--sites", "coarse", *change) == 2
    said, field = capsys.readouterr().out, change[0].strip("-").replace("-", "_")
    assert "was learned before" not in said and f"from a run that differs in its {field}" in said
    assert library("--sites", "coarse") == 0 and "was learned before" in capsys.readouterr().out


def test_what_another_process_learns_is_left_to_it(library, tmp_path: Path, capsys) -> None:
    with claimed(tmp_path / "out" / "b.safetensors"):
        assert library() == 0
    assert f"b.mp4: is being learned by process {os.getpid()} on" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.safetensors", "c.safetensors"]


def test_processes_started_by_hand_share_the_videos(clips: Path, folder: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "motion_lib", *command(clips, folder, tmp_path / "out", "--steps", "8", "--json")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    results = [json.loads(process.communicate()[0])["clips"] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    learned = [name for result in results for name, what in result.items() if "8 steps" in what]
    assert sorted(learned) == ["a.mp4", "b.mp4", "c.mp4"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{name}.safetensors" for name in "abc"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK is 'first', not a whole number"),
        ({"RANK": "0", "WORLD_SIZE": ""}, "WORLD_SIZE is '', not a whole number"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"}, "LOCAL_RANK is 'x'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2, WORLD_SIZE 2 do not name a process"),
        ({"RANK": "3"}, "RANK 3 do not name a process"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK -1, WORLD_SIZE 2 do not name a process"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE 0 do not name a process"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "-1"}, "LOCAL_RANK -1 do not name a process"),
    ],
)
def test_processes_that_cannot_be(environment: dict[str, str], words: str) -> None:
    with pytest.raises(MotionError, match=f"{words}.*unset RANK, WORLD_SIZE, LOCAL_RANK"):
        process_of(environment)


def test_a_process_beyond_the_world_is_one_sentence(library, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("RANK", "5")
    assert library() == 2
    assert "RANK 5 do not name a process of a group" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_loaded(
    library, tmp_path, monkeypatch, capsys
) -> None:
    from motion_lib.cli import library as module

    monkeypatch.setattr(module, "load", None)
    (tmp_path / "out").symlink_to(tmp_path / "file" / "deeper")
    (tmp_path / "file").write_text("")
    assert library() == 2
    assert "Cannot write" in capsys.readouterr().err
