"""No input ends in a traceback, a hang or worse. `--many 10000` tries that many."""

from __future__ import annotations

import pytest

from .assets import Assets
from .judge import Bench, Judge
from .many import GENERATORS, generator, shares


@pytest.mark.parametrize("name", GENERATORS)
def test_no_input_does_harm(name: str, assets: Assets, bench: Bench, request: pytest.FixtureRequest) -> None:
    if reason := getattr(generator(name), "MISSING", ""):
        pytest.skip(reason)
    seeds = shares(request.config.getoption("--many", None))[name]
    bad = [str(verdict) for verdict in Judge(generator(name), assets, bench).judge(range(seeds)) if verdict.troubles]
    assert not bad, f"{len(bad)} of {seeds}:\n" + "\n".join(bad[:20])
