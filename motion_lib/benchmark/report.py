"""Writing what a benchmark found: tables, every score, and pictures."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .. import __version__
from ..files.atomic import replacing
from ..metrics.clip import frechet_distance
from ..sprites.motions import CAMERA_MOTIONS, OBJECT_MOTIONS
from .plan import Plan
from .sheets import sheet
from .table import as_csv, legend, lines, markdown


def write_report(
    plan: Plan, results: Sequence[Mapping[str, Any]], command: str, title: str, groups: Mapping[str, Sequence[str]]
) -> str:
    """Write report.json, table.md, table.csv and a sheet per case into the plan's folder; returns the main tables, one
    for each group of methods."""
    cases = [case.name for case in plan.cases]
    distances = frechet_distances(plan)
    everything = lines(results, list(plan.methods), frechet=distances)
    main = _tables(results, groups, None, distances)
    parts = [f"# {title}\n", f"```bash\n{command}\n```\n", main, legend(everything)]
    for what, kind in (("Object motions", OBJECT_MOTIONS), ("Camera motions", CAMERA_MOTIONS)):
        own = [case for case in cases if case in kind]
        if own and len(own) < len(cases):
            parts += [f"## {what}\n", _tables(results, groups, own)]
    if len(cases) > 1:
        parts += [part for case in cases for part in (f"## {case}\n", _tables(results, groups, [case]))]
    report = {
        "command": command,
        "cases": [{"name": case.name, "prompt": case.prompt, "prompts": case.prompts} for case in plan.cases],
        "methods": {name: repr(method) for name, method in plan.methods.items()},
        "seeds": plan.seeds,
        "sampling_steps": plan.steps,
        "guidance": plan.guidance,
        "model": plan.model,
        "device": device_name(plan.device),
        "dtype": str(plan.dtype),
        "versions": {"motion-inversion": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "results": results,
    }
    _write(plan.out / "table.md", "\n".join(parts))
    _write(plan.out / "table.csv", as_csv(everything))
    _write(plan.out / "report.json", json.dumps(report, indent=1) + "\n")
    for case in plan.cases:
        strips = {name: plan.strip_file(case, name) for name in plan.methods}
        with replacing(plan.out / "sheets" / f"{case.name}.png") as temporary:
            sheet(case.frames, {name: path for name, path in strips.items() if path.is_file()}).save(temporary)
    return main


def frechet_distances(plan: Plan) -> dict[str, float]:
    """The Fréchet distance of every method's frames to those without motion, where a CLIP was given. It tells a loss of
    quality or variety, but not of motion."""
    if plan.text_model is None or "no_motion" not in plan.methods:
        return {}
    features = {
        name: torch.cat([load_file(plan.features_file(case, name))["features"] for case in plan.cases]).float()
        for name in plan.methods
    }
    return {name: frechet_distance(own, features["no_motion"]) for name, own in features.items()}


def _tables(
    results: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    cases: Sequence[str] | None,
    frechet: Mapping[str, float] | None = None,
) -> str:
    tables = [(name, markdown(lines(results, methods, cases, frechet))) for name, methods in groups.items()]
    return "\n".join(f"### {name}\n\n{table}" if name else table for name, table in tables)


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else platform.processor() or device


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
