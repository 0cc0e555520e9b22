"""The benchmark of frames: what is tried, what scores, and that a run carries on."""

from __future__ import annotations

import json
import math
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from motion_lib.benchmark import frame_trials
from motion_lib.benchmark.cases import as_frames, rendered_case
from motion_lib.benchmark.frame_rows import KeptVideos, Row
from motion_lib.benchmark.frame_table import markdown
from motion_lib.benchmark.frame_trials import constancy, followings, prompts_of, scores, ties
from motion_lib.benchmark.sheets import read_strip, save_strip
from motion_lib.cli import main
from motion_lib.cli.benchmark import frame_runs
from motion_lib.errors import MotionError
from motion_lib.metrics.paths import path_smoothness
from motion_lib.sprites import parse_caption
from tests.frames_from_images.folders import build

pytest.importorskip("cv2")


def test_each_kind_of_noise_is_tried_once_at_equal_similarity_and_as_published() -> None:
    found = ties([0.0, 1.0], 0.894)
    assert len({(trial.noise, trial.momentum) for trial in found}) == len(found)
    noises = dict.fromkeys(trial.noise for trial in found)
    wanted = ["independent", "mixed 0.500", "dependency, progressive 0.894", "mixed 0.894"]
    assert set(noises) == {*wanted, "dependency, progressive 0.994"}
    first = [trial.start((1, 4, 3, 4, 4), 5)[:, :, 0] for trial in found]
    assert all(torch.equal(frame, first[0]) for frame in first)


def test_noise_is_carried_along_the_measured_path() -> None:
    """An object that goes half a picture to the right takes its noise along by half a picture."""
    case = rendered_case("pan", 1, 4, 64)
    path = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]])
    (fresh, carried) = (frame_trials.Following(case.name, path, noise, 1.0) for noise in ("independent", "warped"))
    noise = carried.start((1, 4, 3, 8, 8), 1)
    assert torch.equal(noise[:, :, 0, :, :6], noise[:, :, 1, :, 2:])
    assert not torch.equal(
        fresh.start((1, 4, 3, 8, 8), 1)[:, :, 0, :, :6], fresh.start((1, 4, 3, 8, 8), 1)[:, :, 1, :, 2:]
    )
    assert {trial.noise for trial in followings([rendered_case("orbit", 1, 4, 64)], [1.0])} == {"independent", "warped"}


def test_smoothness() -> None:
    line = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    there_and_back = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert path_smoothness(line) == pytest.approx(1) and path_smoothness(there_and_back) == pytest.approx(-1)
    assert math.isnan(path_smoothness(line[:2])) and math.isnan(path_smoothness(torch.zeros(4, 2)))
    apart = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    assert path_smoothness(apart) == pytest.approx(-0.5, abs=0.05)


def test_a_right_video_scores_and_a_wrong_one_does_not() -> None:
    case, other = rendered_case("figure_eight", 1, 8), rendered_case("orbit", 1, 8)
    assert case.truth is not None
    right = scores(case.frames, case.prompt, case.truth.position[0])
    assert right["caption"] == right["constant"] == 1 and right["path"] > 0.99 and right["smooth"] > 0
    wrong = scores(case.frames, other.prompt, -case.truth.position[0])
    assert wrong["caption"] < 1 and wrong["path"] < -0.99
    mixed = case.frames.clone()
    mixed[::2] = other.frames[::2]
    assert constancy(mixed) < 0.9 and scores(mixed, case.prompt)["warp"] > 2 * right["warp"]
    still = as_frames(torch.zeros(4, 3, 64, 64))
    assert scores(still, case.prompt, case.truth.position[0][:4])["path"] == 0


def test_prompts_are_whole_captions() -> None:
    for prompt in prompts_of(5):
        assert None not in vars(parse_caption(prompt)).values()


def test_a_run_is_written_and_carried_on(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(tmp_path / "tiny")
    out = tmp_path / "out"
    command = ["benchmark", "frames", "--model", str(folder), "--video-model", "none", "--out", str(out)]
    command += [
        "--prompts",
        "1",
        "--frames",
        "4",
        "--sampling-steps",
        "1",
        "--momentum",
        "0",
        "1",
        "--motions",
        "orbit",
    ]
    assert main(command) == 0
    table = (out / "table.md").read_text()
    assert table.count("| independent, momentum") == 2 and table.count("| orbit, warped, momentum") == 2
    assert (out / "frames.png").is_file()
    rows = json.loads((out / "frames.json").read_text())["rows"]
    assert len(rows) == 5 * 2 + 2 * 2 and all(len(row["videos"]) == 2 for row in rows)

    def never(*given, **named):
        raise AssertionError("made again")

    monkeypatch.setattr("motion_lib.frames_from_images.imagine.imagine", never)
    assert main(command) == 0
    assert (out / "table.md").read_text() == table
    elsewhere = build(tmp_path / "elsewhere" / "tiny")
    for changed in (["--guidance", "2"], ["--similarity", "0.8943"], ["--model", str(elsewhere)]):
        with pytest.raises(AssertionError, match="made again"):
            main([*command, *changed])


def test_what_one_machine_makes_another_judges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has no OpenCV and is stopped once; the second has no model. Scores are those of one machine alone."""
    folder = build(tmp_path / "tiny")
    command = ["benchmark", "frames", "--model", str(folder), "--video-model", "none", "--prompts", "2", "--batch", "2"]
    command += ["--frames", "5", "--sampling-steps", "1", "--momentum", "0.9", "--motions", "orbit", "--device", "cpu"]
    out, made = tmp_path / "two", []
    real = frame_runs.Maker.videos

    def stopped(maker: frame_runs.Maker, row: Row, part: list[tuple[int, int]]) -> list[torch.Tensor]:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append((row.label, part))
        return real(maker, row, part)

    def ran(argv: list[str]) -> int:
        monkeypatch.setattr("sys.argv", ["motion-inversion", *argv])
        return main(argv)

    def missing() -> None:
        raise MotionError("This measure needs OpenCV")

    with monkeypatch.context() as first:
        first.setattr("motion_lib.video.frames.opencv", missing)
        first.setattr("motion_lib.metrics.consistency.opencv", missing)
        first.setattr(frame_runs.Maker, "videos", stopped)
        assert ran([*command, "--out", str(out)]) == 2  # without --make-only, before anything is made
        assert not made and not out.exists()
        assert ran([*command, "--out", str(out), "--make-only"]) == 130
        assert ran(["benchmark", "frames", "--out", str(out), "--judge-only"]) == 2
        made.clear()
        first.setattr(frame_runs.Maker, "videos", lambda *given: made.append(given[1:]) or real(*given))
        assert ran([*command, "--out", str(out), "--make-only"]) == 0
    kept = KeptVideos(out / "videos")
    rows = kept.rows()
    assert [row.number for row in rows] == list(range(7))
    assert len(made) == 2 * len(rows) - 3  # three parts were made before
    assert not list(out.glob("*.md")) and not (out / "rows").exists()

    shutil.rmtree(folder)
    judge = ["benchmark", "frames", "--judge-only", "--device", "cpu", "--out", str(out)]
    kept_file = out / "videos" / rows[2].name / "1_0.webp"
    kept_file.rename(tmp_path / "away")
    capsys.readouterr()
    assert ran(judge) == 0
    assert f"{rows[2].label}: left out, since 1 of its 4 videos were not made yet" in capsys.readouterr().err
    (tmp_path / "away").rename(kept_file)
    assert ran(judge) == 0
    together = json.loads((out / "frames.json").read_text())["rows"]
    head = (out / "table.md").read_text().partition("*caption*")[0]
    assert "--make-only" in head and "--judge-only" in head and "2 prompts × 2 seeds" in head

    build(folder)
    assert ran([*command, "--out", str(tmp_path / "one")]) == 0
    assert json.loads((tmp_path / "one" / "frames.json").read_text())["rows"] == together


def test_videos_are_kept_without_loss(tmp_path: Path) -> None:
    kept, video = KeptVideos(tmp_path), torch.randint(0, 256, (5, 16, 24, 3), dtype=torch.uint8)
    row = Row(0, "g", "a row", ["a", "b"], 1, 5, ["this way"], "command", [[0.0, 0.5]])
    kept.begin(row)
    kept.write(row, (1, 0), video)
    kept.begin(row)  # the same again leaves it
    assert kept.rows() == [row] and list(kept.missing(row)) == [(0, 0)]
    assert torch.equal(kept.read(row, (1, 0)), video)
    (tmp_path / row.name / "1_0.webp").write_bytes(b"RIFF")
    with pytest.raises(MotionError, match=r"1_0\.webp is not a video that was kept here"):
        kept.read(row, (1, 0))
    kept.begin(replace(row, made_by=["another way"]))
    assert list(kept.missing(row)) == [(0, 0), (1, 0)]
    (tmp_path / row.name / "row.json").write_text("{}")
    with pytest.raises(MotionError, match=r"row\.json does not describe a row of videos"):
        kept.rows()
    with pytest.raises(MotionError, match="holds no videos to judge: make them with --make-only"):
        KeptVideos(tmp_path / "nowhere").rows()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--frames", "2"], "--frames is 2, but it must be at least 3"),
        (["--prompts", "0"], "--prompts is 0, but it must be at least 1"),
        (["--sampling-steps", "0"], "--sampling-steps is 0, but it must be at least 1"),
        (["--seeds", "-1"], "--seeds is -1, but it must be at least 1"),
        (["--momentum", "0", "1.5"], "The momentum is 1.5"),
        (["--similarity", "1.5"], "The similarity is 1.5"),
    ],
)
def test_wrong_numbers_are_refused_before_anything_is_loaded(given: list[str], words: str, capsys) -> None:
    assert main(["benchmark", "frames", "--model", "nowhere", *given]) == 2
    assert words in capsys.readouterr().err


def test_diversity_is_that_of_independent_noise_without_momentum() -> None:
    spreads = {"independent, momentum 1": [0.0, 0.5], "independent, momentum 0": [1.0, 3.0], "mixed, momentum 1": [0.0]}
    rows = [{"group": "g", "label": label, "videos": [], "spread": spread} for label, spread in spreads.items()]
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1] for line in markdown(rows) if " | " in line}
    assert [cells[label].split()[0] for label in spreads] == ["0.125", "1.000", "0.000"]
    (alone,) = [line for line in markdown(rows[-1:]) if line.startswith("| mixed")]
    assert "0.000" not in alone  # there is nothing to compare with


def test_the_picture_holds_videos_of_every_size(tmp_path: Path, capsys) -> None:
    bench, rows = frame_runs.Bench(Namespace(out=tmp_path), None), []
    for label, (height, width) in {"square": (16, 16), "wide": (16, 40)}.items():
        video = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        video[..., 0] = torch.linspace(0, 255, width)
        save_strip(tmp_path / "rows" / f"g_{label}.png", [video, video])
        rows.append({"group": "g", "label": label, "videos": [], "spread": [], "width": width})
    bench.write(rows, ["command"])
    assert (tmp_path / "frames.png").is_file()
    strip = read_strip(tmp_path / "rows" / "g_wide.png", 40)
    assert strip.shape == (4, 16, 40, 3) and strip[3, 0, -1, 0] == 255
