"""Installing and publishing: the archive, the registry's checks, and what installation would change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from .conftest import THREADS
from .host import NODES, PACK, Server, differences

ENVIRONMENT = {**os.environ, "COMFY_NO_TELEMETRY": "1", "DO_NOT_TRACK": "1", "CI": "1"}


@pytest.fixture(scope="module")
def comfy() -> str:
    """comfy-cli, from COMFY_CLI or the path."""
    found = os.environ.get("COMFY_CLI") or shutil.which("comfy")
    if not found:
        pytest.skip("no comfy-cli: pip install comfy-cli, or set COMFY_CLI to its program")
    subprocess.run([found, "--skip-prompt", "tracking", "disable"], capture_output=True, env=ENVIRONMENT)
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of the pack: an archive is made of nothing else."""
    folder = tmp_path_factory.mktemp("pack") / "motion-inversion"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{PACK}", str(folder)], check=True)
    return folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_registrys_checks_pass(comfy, clone):
    run([comfy, "--skip-prompt", "node", "validate"], clone)


def test_the_archive_holds_what_is_needed_and_nothing_else(comfy, clone):
    run([comfy, "--skip-prompt", "node", "pack"], clone)
    (archive,) = clone.glob("*.zip")
    names = set(zipfile.ZipFile(archive).namelist())
    needed = {
        "__init__.py",
        "pyproject.toml",
        "requirements.txt",
        "nodes/__init__.py",
        "nodes/web/docs/MotionInversionTrain.md",
        "nodes/web/moved_inputs.js",
        "subgraphs/Learn a Motion.json",
        "subgraphs/Video with this Motion.json",
        "motion_lib/bundled/models/sprite_t2v/unet/diffusion_pytorch_model.safetensors",
        "motion_lib/bundled/models/sprite_image/unet/diffusion_pytorch_model.safetensors",
        "motion_lib/bundled/models/sprite_wan/diffusion_models/sprite_wan_fp16.safetensors",
        "motion_lib/bundled/codes/sprite_t2v.safetensors",
        "motion_lib/bundled/samples/figure_eight.mp4",
        "motion_lib/bundled/samples/figure_eight.safetensors",
        "workflows/1_quickstart.json",
        "workflows/1_quickstart.jpg",
    }
    assert needed <= names
    outside = ("tests/", ".github/", "docs/", "workflows/notes/")
    unwanted = [n for n in names if n.startswith(outside) or "__pycache__" in n or re.match(r"workflows/.*\.py", n)]
    assert unwanted == []
    assert archive.stat().st_size < 75e6


def test_the_archive_alone_is_a_working_pack(comfy, clone, host, tmp_path):
    """Unpacked into an empty ComfyUI, without the repository around it and without being pip-installed."""
    pytest.importorskip("websocket")
    for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
        (tmp_path / name).mkdir()
    (archive,) = clone.glob("*.zip")
    zipfile.ZipFile(archive).extractall(tmp_path / "custom_nodes" / "motion-inversion")
    with Server(*host, tmp_path, THREADS) as server:
        assert {name for name in server.get("/object_info") if name.startswith("MotionInversion")} == NODES
        listed = server.get("/workflow_templates")["motion-inversion"]
        assert set(listed) == {path.stem for path in (PACK / "workflows").glob("*.json")}


def test_comfy_run_runs_a_workflow(comfy, server, tmp_path):
    from .graphs import workflow

    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(workflow("2_use_a_shared_embedding", KSampler={"steps": 2, "seed": 5})))
    command = [comfy, "--skip-prompt", "run", "--workflow", str(graph), "--host", "127.0.0.1"]
    run([*command, "--port", str(server.port), "--wait", "--timeout", "280"], tmp_path)


def test_comfy_run_reads_the_workflows_as_the_page_does(server):
    """It is given them as they are, with subgraphs, settings that moved, and choices that bring further inputs."""
    convert = pytest.importorskip("comfy_cli.workflow_to_api", reason="no comfy-cli beside the tests")
    known = server.get("/object_info")
    for path in sorted((PACK / "workflows").glob("*.json")):
        graph = convert.convert_ui_to_api(json.loads(path.read_text()), known)
        written = json.loads((path.parent / "api" / path.name).read_text())
        assert differences(graph, written) == {}, path.stem


def dependencies() -> list[str]:
    text = (PACK / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block
    return re.findall(r'"([^"]+)"', block.group(1))


def test_requirements_are_the_dependencies_without_torch():
    lines = (PACK / "requirements.txt").read_text().splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    assert written == [entry for entry in dependencies() if not entry.startswith("torch>")]


def same_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("way", ["as ComfyUI-Manager does", "with pip"])
def test_installing_the_pack_changes_no_package_of_comfyui(host, clone, way):
    """What pip would do in ComfyUI's environment is to add packages."""
    _, python = host
    pip = [str(python), "-m", "pip"]
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True)
    installed = {same_name(entry["name"]): entry["version"] for entry in json.loads(listed.stdout)}
    assert "torch" in installed
    what = ["-r", str(PACK / "requirements.txt")] if way == "as ComfyUI-Manager does" else [str(clone)]
    plan = subprocess.run(
        [*pip, "install", "--dry-run", "--quiet", "--report", "-", *what], capture_output=True, text=True, timeout=300
    )
    if plan.returncode and "conflict" not in plan.stderr.lower():
        pytest.skip(f"pip could not resolve (no index?): {plan.stderr.strip()[-200:]}")
    assert plan.returncode == 0, plan.stderr
    report = json.loads(plan.stdout[plan.stdout.index("{") :])
    planned = {same_name(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}
    planned.pop("motion-inversion", None)  # which may be there already
    print("added:", planned)
    assert {name: (installed[name], version) for name, version in planned.items() if name in installed} == {}
