"""What README says of the library runs as it stands there."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import motion_lib
from motion_lib.bundled.models import BUNDLED
from motion_lib.bundled.samples import SAMPLES
from motion_lib.training.presets import PRESETS

HOUSE = Path(motion_lib.__file__).parent
README = (HOUSE.parent / "README.md").read_text(encoding="utf-8")


def test_the_library_example_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In few steps, because preset and model say how many they are."""
    folder, defaults = BUNDLED["sprite_t2v"]
    quick = replace(PRESETS["object"], settings=replace(PRESETS["object"].settings, steps=2))
    monkeypatch.setitem(PRESETS, "object", quick)
    monkeypatch.setitem(BUNDLED, "sprite_t2v", (folder, replace(defaults, steps=2)))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(HOUSE / "bundled" / "samples", tmp_path / "motion_lib" / "bundled" / "samples")
    example = between("```python\n", "```", README.partition("\n## Library\n")[2])
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102
    assert motion_lib.load_embedding("eight.safetensors").frames == 16
    sample, star = motion_lib.read_clip(SAMPLES["figure_eight"].path), motion_lib.read_clip("star.mp4")
    assert star.frames.shape == sample.frames.shape and star.fps == sample.fps

    camera = between("A camera without training:", "\n\n", README)
    names["clip"] = motion_lib.read_clip(SAMPLES["camera_pan"].path)
    path, noise, alignment = re.findall(r"`([^`]*\(.*?)`", camera)
    assert "`model.generate`" in camera
    exec(f"{path}\nvideos = model.generate('a red circle', {noise}, {alignment})", names)  # noqa: S102
    assert isinstance(made := names["videos"], list) and made[0].shape == star.frames.shape


def between(start: str, end: str, text: str) -> str:
    assert start in text
    return text.partition(start)[2].partition(end)[0]
