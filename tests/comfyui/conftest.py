"""A real ComfyUI for the tests, or a visible reason why there is none.

COMFYUI_PATH is its folder (default ~/ComfyUI) and COMFYUI_PYTHON its Python (default .venv/bin/python in there).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import PACK, Server, find_host, prepare_base
from .small_wan import add_small_wans

# One thread is never far from the best of two, while several waiting for one another on a busy machine take ten times
# as long.
THREADS = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


@pytest.fixture(scope="session")
def host() -> tuple[Path, Path]:
    found = find_host()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui")
    prepare_base(folder)
    # The workflow for ZeroScope is run with the bundled model in its place.
    diffusers = folder / "models" / "diffusers"
    diffusers.mkdir()
    (diffusers / "zeroscope_v2_576w").symlink_to(PACK / "motion_lib" / "bundled" / "models" / "sprite_t2v")
    add_small_wans(folder)
    return folder


@pytest.fixture(scope="session")
def server(host: tuple[Path, Path], base: Path) -> Iterator[Server]:
    pytest.importorskip("websocket", reason="the tests of a running ComfyUI need websocket-client")
    with Server(*host, base, THREADS) as running:
        yield running


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, host: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What `inside` measured for the CHECKS of a test file, by check."""
    base = tmp_path_factory.mktemp("inside")
    prepare_base(base)
    folder, python = host
    script = Path(__file__).with_name("inside")
    done = subprocess.run(
        [str(python), str(script), str(folder), str(base), *request.module.CHECKS],
        capture_output=True,
        text=True,
        env={**os.environ, **THREADS},
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print({name: check["took"] for name, check in result.items()})
    return result
