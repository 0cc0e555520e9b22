"""What a benchmark runs, and where its results lie."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..errors import MotionError
from ..files.atomic import replacing
from .cases import Case
from .methods import Method

Result = dict[str, Any]
MADE_WITH = "made_with.json"


# Both halves of the work, or one: the videos can be made on one machine and judged on another.
PARTS = ("all", "make", "judge")


@dataclass(frozen=True)
class Plan:
    """What to run; cases × methods, `seeds` videos of every prompt. text_model: folder of a CLIP, or None. part: one of
    PARTS; device and dtype are those that the videos are made with, wherever they are judged."""

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
    part: str = "all"

    def description(self, case: Case, method: str) -> str:
        """The same text means the same result."""
        shown = [each.frames.numpy().tobytes() for each in (case, *case.parts)]
        clip = hashlib.sha256(b"".join(shown)).hexdigest()[:16]
        with_what = (self.model, self.device, str(self.dtype), self.steps, self.guidance, self.tracker, self.text_model)
        return repr((self.methods.get(method), case.prompt, case.prompts, case.starts, clip, self.seeds, *with_what))

    def shared_file(self, case: Case) -> Path:
        """The file of what all methods share on a case."""
        made_by = hashlib.sha256(self.description(case, "").encode()).hexdigest()[:12]
        return self.out / "shared" / f"{case.name}-{made_by}.pt"

    def made_file(self, case: Case, method: str) -> Path:
        """Latents of videos that were made to be judged later."""
        return self.out / "made" / case.name / f"{file_name(method)}.safetensors"

    def note_device(self) -> None:
        """Write down what the videos are made with, for those who judge them elsewhere."""
        with replacing(self.out / MADE_WITH) as temporary:
            temporary.write_text(json.dumps({"device": self.device, "dtype": str(self.dtype)}), encoding="utf-8")

    def is_made(self, case: Case, method: str) -> bool:
        """Whether there are videos of exactly this plan."""
        path = self.made_file(case, method)
        if not path.is_file():
            return False
        with safe_open(path, "pt") as file:
            return file.metadata()["made_by"] == self.description(case, method)

    def lacks(self, case: Case, method: str) -> bool:
        """Whether there is something to do."""
        return not (self.is_made(case, method) if self.part == "make" else self.finished(case, method))

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


def made_with(out: Path) -> tuple[str, torch.dtype]:
    """Device and dtype of the videos in a folder, made to be judged elsewhere.

    Raises MotionError where there are none.
    """
    path = out / MADE_WITH
    if not path.is_file():
        raise MotionError(f"{out} holds no videos to judge: make them with --make-only first.")
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["device"], getattr(torch, found["dtype"].removeprefix("torch."))


@dataclass(frozen=True)
class Job:
    """Methods that learn the same on one case, or on several in one batch; without methods, what all methods share.
    learned: what the methods have learned on the one case already, pickled, and in how many seconds."""

    cases: tuple[int, ...]
    methods: tuple[str, ...] = ()
    learned: tuple[bytes, float] | None = None


def file_name(method: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", method)
