"""`--many` and what all generators share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .assets import Assets, build_assets
from .judge import Bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--many", type=int, metavar="N", help="hostile inputs to try in all (default: some seventy)")


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    if sys.platform != "linux":
        pytest.skip("memory, hangs and opened files are judged by what Linux tells of a process")
    return build_assets(Path(tmp_path_factory.mktemp("assets")))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.close()
