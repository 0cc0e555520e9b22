"""Writing what a benchmark found: tables, every score, and pictures."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..atomic import replacing
from ..sprites.motions import CAMERA_MOTIONS, OBJECT_MOTIONS
from .runner import Plan, file_name
from .sheets import sheet
from .table import as_csv, legend, lines, markdown


def write_report(plan: Plan, results: Sequence[Mapping[str, Any]], command: str, title: str) -> str:
    """Write report.json, table.md, table.csv and a sheet per case into the plan's folder; returns the main table."""
    methods, cases = list(plan.methods), [case.name for case in plan.cases]
    everything = lines(results, methods)
    parts = [f"# {title}\n", f"```bash\n{command}\n```\n", markdown(everything), legend()]
    for what, kind in (("Object motions", OBJECT_MOTIONS), ("Camera motions", CAMERA_MOTIONS)):
        own = [case for case in cases if case in kind]
        if own and len(own) < len(cases):
            parts += [f"## {what}\n", markdown(lines(results, methods, own))]
    parts += [f"## {case}\n\n{markdown(lines(results, methods, [case]))}" for case in cases] if len(cases) > 1 else []
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
        strips = {name: plan.out / "strips" / case.name / f"{file_name(name)}.png" for name in methods}
        with replacing(plan.out / "sheets" / f"{case.name}.png") as temporary:
            sheet(case.frames, {name: path for name, path in strips.items() if path.is_file()}).save(temporary)
    return parts[2]


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else platform.processor() or device


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
