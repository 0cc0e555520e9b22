"""Every misdeed is noticed, and what is in order passes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from . import judge
from .assets import Assets
from .judge import Bench, Case, Judge, tally
from .misdeeds import MISDEEDS

COMMAND = "tests.hostile.misdeeds:main"
NAMES = ["good", *(function.__name__ for function in MISDEEDS)]


class Misdeeds(ModuleType):
    @staticmethod
    def valid(folder: Path, assets: Assets) -> list[Case]:
        return [Case("nothing", ("succeeds",), entry=COMMAND)]

    @staticmethod
    def case(seed: int, folder: Path, assets: Assets) -> Case:
        (folder / "kept.txt").write_text("pass")
        return Case(NAMES[seed], (NAMES[seed],), entry=COMMAND)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory):
    shared = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "HANG", 1.0)
        patch.setattr(judge, "MEMORY", 10**8)
        bench = Bench(tmp_path_factory.mktemp("scratch"))
        found = list(
            Judge(Misdeeds("misdeeds"), Assets(*[str(shared)] * len(fields(Assets))), bench).judge(range(len(NAMES)))
        )
        bench.close()
    return found


def test_a_sentence_is_in_order(verdicts) -> None:
    assert verdicts[0].troubles == {} and verdicts[0].code == 2


@pytest.mark.parametrize(("name", "trouble"), [(f.__name__, trouble) for f, trouble in MISDEEDS.items()])
def test_a_misdeed_is_noticed(verdicts, name: str, trouble: str) -> None:
    assert trouble in verdicts[NAMES.index(name)].troubles


def test_the_counts(verdicts) -> None:
    counts = tally(verdicts)
    assert counts["tried"] == len(NAMES) and counts["refused"] == 1 and counts["harmless"] == 0
