"""Scores of the videos that `evaluate` kept, by the benchmark's own judge, which needs OpenCV."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ....backbones import load_model
from ....benchmark.cases import CROSSED, rendered_case
from ....benchmark.scores import Judge
from ....metrics.diversity import appearance_spread, sprite_look


def judge(out: Path, prompts: int, device: str) -> None:
    """out: the folder of `evaluate`. Writes `scores.json`: means over all videos of each way, and over seeds the spread
    of appearance as a share of that of the videos without motion. Of crossed codes, the camera is judged by the clip
    that it was taken from."""
    model = load_model("sprite_t2v", device)
    kept = load_file(out / "latents.safetensors")
    videos: dict[str, list[Tensor]] = {}
    for name, latents in kept.items():
        videos[name] = [model.decode_video(part.float().to(device)) for part in latents.split(1)]
    report: dict[str, Any] = {}
    for way in dict.fromkeys(name.partition("/")[0] for name in kept):
        scores: list[dict[str, float]] = []
        shares: list[float] = []
        for name in (n for n in kept if n.startswith(f"{way}/")):
            motion = name.partition("/")[2]
            case = rendered_case(motion, prompts)
            judges = {"": Judge(case)}
            if way == "crossed":
                judges = {"camera": Judge(rendered_case(CROSSED[motion], prompts)), "": judges[""]}
            without, seeds = videos[f"nothing/{motion}"], len(videos[name]) // prompts
            for i, video in enumerate(videos[name]):
                found: dict[str, float] = {}
                for _, each in sorted(judges.items()):  # the camera's last
                    own = each(case.prompts[i // seeds], video, without[i])
                    found |= own if not found else {k: v for k, v in own.items() if k.startswith("camera")}
                scores.append(found)
            for i in range(prompts):
                some = slice(i * seeds, (i + 1) * seeds)
                usual = appearance_spread(without[some], sprite_look)
                share = appearance_spread(videos[name][some], sprite_look) / usual
                shares += [share] if math.isfinite(share) else []
        names = sorted({key for each in scores for key in each})
        means = {key: torch.tensor([each[key] for each in scores if key in each]) for key in names}
        report[way] = {key: round(float(values.mean()), 4) for key, values in means.items()}
        report[way]["diversity"] = round(sum(shares) / max(1, len(shares)), 4)
        print(json.dumps({way: report[way]}), flush=True)
    (out / "scores.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
