"""Values on the command line that no option can take: one sentence and exit code 2, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_lib.cli import build_parser, main
from motion_lib.cli.values import LARGEST_SEED

GENERATE = ("generate", "--prompt", "x", "--out", "a.mp4")


def refused(capsys, *arguments: str) -> str:
    """The last line of what is said; fails unless the exit code is 2."""
    capsys.readouterr()
    try:
        code = main(list(arguments))
    except SystemExit as exit:
        code = exit.code
    captured = capsys.readouterr()
    assert code == 2 and "Traceback" not in captured.err and not captured.out
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--frames", value) for value in ("1e3", "9" * 5000, str(2**63), str(-(2**70)), "²", "nan", "")),
        *(("--seed", value) for value in (str(2**64), "x" * 9000)),
        *(("--guidance", value) for value in ("nan", "inf", "-inf", "1e400", "1e30", "x")),
    ],
)
def test_numbers_that_cannot_be(option: str, value: str, capsys) -> None:
    sentence = refused(capsys, *GENERATE, f"{option}={value}")
    assert option in sentence and len(sentence) < 300


@pytest.mark.parametrize("option", ["--prompt", "--out", "--motion", "--model"])
@pytest.mark.parametrize(("value", "words"), [("a\0b", "NUL"), ("a\udcff", "UTF-8")])
def test_texts_that_cannot_be(option: str, value: str, words: str, capsys) -> None:
    assert words in refused(capsys, *GENERATE, option, value)


def test_other_ways_to_read_a_value_refuse_in_a_sentence_too(capsys) -> None:
    assert "--grid is 0x1" in refused(capsys, "convert", "a.pt", "b.safetensors", "--grid", "0x1")


def test_a_long_unknown_choice_is_cut_short(capsys) -> None:
    assert len(refused(capsys, *GENERATE, "--fit", "x\n" * 9000)) < 1000


def test_large_seeds_are_taken() -> None:
    assert build_parser().parse_args([*GENERATE, "--seed", str(LARGEST_SEED)]).seed == LARGEST_SEED


@pytest.mark.parametrize("options", [("--frames", "2000000000"), ("--width", "2000000", "--height", "2000000")])
def test_videos_beyond_memory_are_not_begun(options: tuple[str, ...], folder: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.mp4"
    sentence = refused(capsys, "generate", "--model", folder, "--prompt", "x", "--out", str(out), *options)
    assert "What is asked for has" in sentence and not out.exists()


def test_no_frames_at_all(folder: str, capsys) -> None:
    assert "-3 frames are asked for" in refused(capsys, *GENERATE, "--model", folder, "--frames", "-3")


@pytest.mark.parametrize("content", [b"file,prompt\nbar.mp4,\xff\xfe\n", b"file,prompt\nbar.mp4," + b"x" * 200_000])
def test_tables_of_prompts_that_cannot_be_read(content: bytes, folder: str, clip: str, tmp_path: Path, capsys) -> None:
    clips, table = tmp_path / "clips", tmp_path / "prompts.csv"
    clips.mkdir()
    (clips / "bar.mp4").write_bytes(Path(clip).read_bytes())
    table.write_bytes(content)
    command = ("train", str(clips), "--model", folder, "--out", str(tmp_path / "out"), "--prompts", str(table))
    assert "prompts.csv could not be read as a table of prompts" in refused(capsys, *command)


def test_a_text_beside_a_clip_that_is_not_utf8(folder: str, clip: str, tmp_path: Path, capsys) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "bar.mp4").write_bytes(Path(clip).read_bytes())
    (clips / "bar.txt").write_bytes(b"\xff\xfe a bar")
    sentence = refused(capsys, "train", str(clips), "--model", folder, "--out", str(tmp_path / "out"))
    assert "bar.txt" in sentence and "UTF-8" in sentence


def test_what_the_file_system_refuses_is_a_sentence(motion: str, capsys, monkeypatch) -> None:
    from motion_lib.cli import inspect

    def refuses(path: str):
        raise OSError(36, "File name too long", "x\x1b" * 300)

    monkeypatch.setattr(inspect, "describe", refuses)
    sentence = refused(capsys, "inspect", motion)
    assert "cannot be used: File name too long" in sentence and len(sentence) < 500 and sentence.isprintable()
