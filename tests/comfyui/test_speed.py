"""The benchmark inside ComfyUI, on a small model: that it runs, and what it says that is not a time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .conftest import THREADS
from .host import PACK, prepare_base


def test_training_and_sampling_are_measured(host: tuple[Path, Path], tmp_path: Path) -> None:
    folder, python = host
    prepare_base(tmp_path)
    command = [python, PACK / "tests/comfyui/inside/speed.py", folder, tmp_path, "--host", "--cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **THREADS})
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| host", "| save_memory"))]
    assert [row[0] for row in rows] == ["| host's pass, all parts twice", "| save_memory on", "| save_memory auto"]
    assert all(row[4] == "0.000%" for row in rows)
    assert "Training mode plain" in done.stdout
    assert "| diffusers' pass | " in done.stdout and "| faster pass | " in done.stdout
    assert done.stdout.count("weights as before: True") == 2 and "its output differs by 0.0" in done.stdout
