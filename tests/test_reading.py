"""Only regular files are read."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from motion_lib.cli import main
from motion_lib.errors import MotionError
from motion_lib.files.reading import regular_file


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert regular_file(tmp_path / "a") == regular_file(str(tmp_path / "b")) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "No such file"), ("", "Is a directory"), ("a\0b", "null"), ("x" * 999, "too long"), ("a\nb", r"a\\nb ")],
)
def test_what_is_no_file(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(MotionError, match=f"cannot be read: .*{message}|{message}.*cannot be read") as caught:
        regular_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("command", ["inspect", "convert", "edit"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, command: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.safetensors")
    rest = {"inspect": [], "convert": ["out.safetensors"], "edit": ["--reverse", "--out", "out.safetensors"]}
    signal.alarm(60)  # which ends the tests where a pipe is waited for
    assert main([command, "pipe.safetensors", *rest[command]]) == 2
    signal.alarm(0)
    assert "pipe.safetensors is a pipe or a device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.safetensors"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_a_device_is_refused() -> None:
    with pytest.raises(MotionError, match="is a pipe or a device"):
        regular_file("/dev/zero")
