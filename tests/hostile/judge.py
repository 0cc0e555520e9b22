"""Runs the cases of a generator, one after the other, and says of each what it did. What a generator is stands in
__init__.py.

A case is in order when it is refused by one sentence and exit code 2, or succeeds, and in both cases ran no code, asked
no network, opened and changed nothing that is not its own, left no file behind but its result, printed no control
character, and took neither 20 s nor 1 GB more than good inputs take.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

from .assets import Assets
from .inotify import Opened

ROOT = Path(__file__).parents[2]
HANG = 20.0  # seconds of work, or of waiting for something that does not come
MEMORY = 10**9  # bytes above what good inputs take
PLENTY = 4 * 10**8  # bytes that a worker may have kept from earlier cases
SENTENCE, OUTPUT = 2100, 100_000  # characters
COMPLAINT = re.compile(r"^motion-inversion( \w+)*: ", re.MULTILINE)
LIBRARY = "motion_lib.cli:main"
COMMAND = (sys.executable, "-m", "tests.hostile.worker")  # a generator may have another


@dataclass(frozen=True)
class Case:
    """One input."""

    name: str
    """What is wrong with it, for the reader of a report."""
    argv: tuple[str, ...]
    """Of the command line, or of `entry`."""
    writes: tuple[str, ...] = ()
    """Files, as patterns of paths in its folder, that a success may make or replace."""
    leaves: tuple[str, ...] = ()
    """The same of a refusal: a training run that fails may leave its checkpoint."""
    entry: str = LIBRARY
    """`module:function` that takes argv and returns the exit code."""


@dataclass
class Verdict:
    """What a case did; in order without `troubles`."""

    name: str
    seed: int
    code: int | None = None
    output: str = ""
    memory: int = 0
    seconds: float = 0.0
    """Of the clock, judging included."""
    troubles: dict[str, str] = field(default_factory=dict)
    """By kind: traceback, hang, memory, code, network, outside, lost, left, words."""

    def __str__(self) -> str:
        found = "; ".join(f"{kind}: {text}" for kind, text in self.troubles.items())
        return f"{self.seed} {self.name}: {found or 'in order'}"


class Worker:
    """The process in which cases run, started anew when one has ended it."""

    def __init__(self, scratch: Path, command: Sequence[str] = COMMAND):
        self.command = command
        home = scratch / "home"
        home.mkdir(exist_ok=True)
        self.log = scratch / "log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
        environment = kept | {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.with_name("worker.log").open("ab"),
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"
        self.used = 0

    def run(self, case: Case, folder: Path, assets: Assets, allowed: float) -> dict:
        """The worker's answer, or `trouble` and `text` where it was killed. allowed: bytes."""
        assert self.process.stdin and self.process.stdout
        request = {"argv": case.argv, "entry": case.entry, "folder": str(folder), "log": str(self.log)}
        request["model"] = assets.model
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        start = self._busy()[0]
        before, last, moved = self._resident(), start, time.monotonic()
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            work, runnable = self._busy()
            if work != last or runnable:
                last, moved = work, time.monotonic()
            if self._resident() - before > allowed:
                return self._kill("memory", f"{(self._resident() - before) / 1e9:.1f} GB")
            if work - start > HANG:
                return self._kill("hang", f"{HANG:g} s of work and no end")
            if time.monotonic() - moved > HANG:
                return self._kill("hang", f"waits for {HANG:g} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            return {"trouble": "traceback", "text": f"the process ended with {self.process.returncode}"}
        answer = json.loads(line)
        self.used = answer["resting"]
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _kill(self, trouble: str, text: str) -> dict:
        self.close()
        return {"trouble": trouble, "text": text}

    def _busy(self) -> tuple[float, bool]:
        """Seconds of work so far, of all threads, and whether it is at work, or waits for the disk or a processor."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0, True
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] in "RD"

    def _resident(self) -> int:
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, IndexError):
            return 0


class Bench:
    """Where cases are run: a folder, and the process, which one generator hands on to the next."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.worker: Worker | None = None

    def close(self) -> None:
        if self.worker:
            self.worker.close()
        self.worker = None


class Judge:
    """Judges the cases of one generator."""

    def __init__(self, generator: ModuleType, assets: Assets, bench: Bench):
        self.generator, self.assets, self.bench, self.scratch = generator, assets, bench, bench.scratch
        self.folder, self.outside = self.scratch / "case", self.scratch / "outside"
        self.usual: int | None = None
        self.resting = 0

    def judge(self, seeds: Iterable[int], keep: Path | None = None) -> Iterator[Verdict]:
        """keep: where the folder of the last case is copied to."""
        before = fingerprints(Path(self.assets.folder))
        try:
            for seed in seeds:
                start = time.monotonic()
                self._empty()
                case = self.generator.case(seed, self.folder, self.assets)
                if keep:
                    shutil.copytree(self.scratch, keep, symlinks=True, dirs_exist_ok=True)
                verdict = self._judged(case, seed)
                verdict.seconds = round(time.monotonic() - start, 3)
                yield verdict
        finally:
            self._empty()
        assert fingerprints(Path(self.assets.folder)) == before, "a case changed the files that all share"

    def _judged(self, case: Case, seed: int) -> Verdict:
        worker, usual = self._ready()
        before, outside = fingerprints(self.folder), fingerprints(self.outside)
        with Opened(self.outside) as opened:
            answer = worker.run(case, self.folder, self.assets, usual + MEMORY)
        output = worker.log.read_text(encoding="utf-8", errors="replace") if worker.log.exists() else ""
        verdict = Verdict(case.name, seed, answer.get("code"), output, answer.get("memory", 0))
        found = verdict.troubles
        if "trouble" in answer:
            found[answer["trouble"]] = answer["text"]
            self.bench.close()
        elif answer["trace"] or verdict.code not in (0, 2):
            found["traceback"] = (answer["trace"].strip() or f"exit code {verdict.code}")[-1500:]
        else:
            if verdict.memory > usual + MEMORY:
                found["memory"] = f"{verdict.memory / 1e9:.1f} GB"
            if words := bad_words(verdict.code, output):
                found["words"] = words
        for event in answer.get("events", ()):
            kind = "network" if event.startswith("socket.") else "outside" if " outside " in event else "code"
            found[kind] = event
        if opened.names or fingerprints(self.outside) != outside:
            found["outside"] = f"opened or changed: {sorted(opened.names)}"
        allowed = case.writes if verdict.code == 0 else case.leaves
        after = fingerprints(self.folder)
        kept = allowed if verdict.code == 0 else ()  # a refusal may replace what it may leave, and delete nothing
        if lost := [n for n in before if after.get(n) != before[n] and not matches(n, allowed if n in after else kept)]:
            found["lost"] = f"{lost} changed"
        if left := [n for n in after if n not in before and not matches(n, allowed)]:
            found["left"] = str(left)
        return verdict

    def _ready(self) -> tuple[Worker, int]:
        """A worker that has run the good inputs, and holds little from earlier ones; bytes that good ones took."""
        command = getattr(self.generator, "COMMAND", COMMAND)
        worker = self.bench.worker
        if worker and (worker.command != command or (self.usual is not None and worker.used > self.resting + PLENTY)):
            self.bench.close()
        if self.bench.worker is None:
            self.bench.worker, self.usual = Worker(self.scratch, command), None
        worker = self.bench.worker
        if self.usual is None:
            bad = self.folder.rename(self.scratch / "waiting")
            for _ in range(2):  # what is imported on the way is not what an input takes
                self.folder.mkdir()
                peaks = []
                for case in self.generator.valid(self.folder, self.assets):
                    answer = worker.run(case, self.folder, self.assets, 4 * MEMORY)
                    output = worker.log.read_text(encoding="utf-8", errors="replace")
                    assert answer.get("code") == 0, f"{case.name}, a good input: {answer}\n{output}"
                    peaks.append(answer["memory"])
                self.usual, self.resting = max(peaks), worker.used
                remove(self.folder)
            bad.rename(self.folder)
        assert self.usual is not None
        return worker, self.usual

    def _empty(self) -> None:
        remove(self.scratch / "waiting")  # which a good input that failed leaves there
        for folder in (self.folder, self.outside):
            remove(folder)
            folder.mkdir(parents=True)
        (self.outside / "secret.txt").write_text("a secret\n")


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def fingerprints(folder: Path) -> dict[str, str]:
    """What is in a folder, by path: links are not followed, and of very large files only size and time are taken."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
        if path.is_symlink():
            found[name] = f"link {os.readlink(path)}"
        elif path.is_file():
            stat = path.stat()
            small = stat.st_size < 1 << 26
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if small else f"{stat.st_size} {stat.st_mtime}"
        elif not path.is_dir():
            found[name] = "no regular file"
    return found


def bad_words(code: int | None, output: str) -> str:
    """What is wrong with what a command printed; nothing if it is in order."""
    odd = {c for c in output if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c not in "\n\r\t"}
    odd |= {c for c in output if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
    if odd:
        return f"control characters {sorted(odd)}"
    if "Traceback (most recent call last)" in output:
        return "a traceback was printed: " + output[-500:]
    if len(output) > OUTPUT:
        return f"{len(output)} characters were printed"
    if code == 0:
        return ""
    complaints = list(COMPLAINT.finditer(output.replace("\r", "\n")))
    if len(complaints) != 1:
        return f"{len(complaints)} complaints: {output[-500:]!r}"
    sentence = output[complaints[0].start() :].strip()
    if "\n" in sentence or len(sentence) > SENTENCE:
        return f"a complaint of {len(sentence.splitlines())} lines, {len(sentence)} characters: {sentence[:300]!r}"
    return ""


def tally(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many were refused, did no harm, and did what none may do."""
    kinds = ("traceback", "hang", "memory", "code", "network", "outside", "lost", "left", "words")
    counts = dict.fromkeys(("tried", "refused", "harmless", *kinds), 0)
    for verdict in verdicts:
        counts["tried"] += 1
        if not verdict.troubles:
            counts["refused" if verdict.code == 2 else "harmless"] += 1
        for kind in verdict.troubles:
            counts[kind] += 1
    return counts
