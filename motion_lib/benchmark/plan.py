"""What a benchmark runs, and where its results lie."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .cases import Case
from .methods import Method

Result = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to run; cases × methods, `seeds` videos of every prompt. text_model: folder of a CLIP, or None."""

    cases: tuple[Case, ...]
    methods: dict[str, Method]
    out: Path
    seeds: int
    steps: int
    guidance: float
    model: str = "sprite_t2v"
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    tracker: str = "lucas_kanade"
    text_model: str | None = None

    def description(self, case: Case, method: str) -> str:
        """The same text means the same result."""
        clip = hashlib.sha256(case.frames.numpy().tobytes()).hexdigest()[:16]
        with_what = (self.model, self.device, str(self.dtype), self.steps, self.guidance, self.tracker, self.text_model)
        return repr((self.methods.get(method), case.prompt, case.prompts, clip, self.seeds, *with_what))

    def shared_file(self, case: Case) -> Path:
        """The file of what all methods share on a case."""
        made_by = hashlib.sha256(self.description(case, "").encode()).hexdigest()[:12]
        return self.out / "shared" / f"{case.name}-{made_by}.pt"

    def result_file(self, case: Case, method: str) -> Path:
        return self.out / "results" / case.name / f"{file_name(method)}.json"

    def strip_file(self, case: Case, method: str) -> Path:
        return self.out / "strips" / case.name / f"{file_name(method)}.png"

    def features_file(self, case: Case, method: str) -> Path:
        return self.out / "features" / case.name / f"{file_name(method)}.safetensors"

    def finished(self, case: Case, method: str) -> Result | None:
        """A result of exactly this plan, if there is one."""
        path = self.result_file(case, method)
        if not path.is_file():
            return None
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result["made_by"] == self.description(case, method) else None


@dataclass(frozen=True)
class Job:
    """Methods that learn the same on one case, or on several in one batch; without methods, what all methods share.
    learned: what the methods have learned on the one case already, pickled, and in how many seconds."""

    cases: tuple[int, ...]
    methods: tuple[str, ...] = ()
    learned: tuple[bytes, float] | None = None


def file_name(method: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", method)
