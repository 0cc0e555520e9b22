"""One switch at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_lib.benchmark.methods import OBJECT, Reference, Request
from motion_lib.benchmark.methods.spec import changed, settings_of
from motion_lib.cli import main
from motion_lib.cli.benchmark.ablations import SWITCHES, ablations
from motion_lib.diffusion.noise import START_NOISES
from motion_lib.method.embedding import COMPONENTS, QK_AXES, V_AXES
from motion_lib.method.integration import INTEGRATIONS
from motion_lib.method.patch import DEBIAS
from motion_lib.training.losses import LOSSES

ONE = ["--motions", "figure_eight", "--prompts", "1", "--seeds", "1"]


def test_every_row_changes_its_own_switch_only() -> None:
    methods = ablations(SWITCHES)
    own = settings_of(methods.pop("preset"))
    assert settings_of(OBJECT).items() <= own.items()
    for name, method in methods.items():
        switch, _, row = name.partition(": ")
        settings = settings_of(method)
        different = {key for key in own if own[key] != settings[key]}
        assert different and different <= SWITCHES[switch][row].keys(), name


@pytest.mark.parametrize(
    ("switch", "registry"),
    [
        ("components", COMPONENTS),
        ("debias learning", DEBIAS),
        ("debias", DEBIAS),
        ("integration", INTEGRATIONS),
        ("qk axes", QK_AXES),
        ("v axes", V_AXES),
        ("loss", LOSSES),
        ("noise", START_NOISES),
    ],
)
def test_everything_registered_is_compared(switch: str, registry: dict) -> None:
    methods = ablations([switch])
    assert SWITCHES[switch].keys() == registry.keys()
    # What the preset does itself has its row as `preset`.
    assert len(methods) - 1 >= len(registry) - 1


@pytest.mark.parametrize("name", [name for name in ablations(SWITCHES) if "sites" not in name])
def test_every_row_runs(name: str, model, reference: Reference, request_: Request) -> None:
    method = changed(changed(ablations(SWITCHES)[name], "steps", 1), "sites", "all")
    learned = method.learn(model, reference)
    assert method.sample(model, reference, learned, request_).isfinite().all()


def test_the_command_writes_a_table_per_switch(
    small: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for switch in ("noise weight", "end"):
        last = list(SWITCHES[switch])[-1]
        monkeypatch.setitem(SWITCHES, switch, {last: SWITCHES[switch][last]})
    command = ["benchmark", "ablations", *small, *ONE, "--out", str(tmp_path), "--set", "steps=1"]
    command += ["--switches", "noise weight", "end"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.count("| preset |") == 2 and "### noise weight" in text and "| end: 1.0 |" in text
    written = (tmp_path / "table.md").read_text()
    assert written.startswith("# Ablations of the object preset") and text.split("Look at")[0].strip() in written
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert rows[1].startswith("no_motion,1,") and any(row.startswith("noise weight: 1.0,1,") for row in rows)


def test_the_grid_shows_every_combination(small: list[str], tmp_path: Path, capsys) -> None:
    varied = ["--steps", "1", "--strengths", "1", "2", "--noise-weights", "0", "0.5"]
    assert main(["benchmark", "grid", *small, *ONE, "--out", str(tmp_path), *varied]) == 0
    text = capsys.readouterr().out
    assert all(f"| 1 steps, γ {γ}, noise {weight} |" in text for γ in (1, 2) for weight in ("0", "0.5"))
    from PIL import Image

    # Two lines of four frames for each of two noises, at half size.
    with Image.open(tmp_path / "grid_figure_eight.png") as picture:
        assert picture.size == (6 + 8 * (16 + 6), 6 + 2 * (20 + 16 + 6))
