"""What a running ComfyUI shows of the pack: nodes with their explanations, subgraphs and templates, also where
diffusers is broken."""

from __future__ import annotations

import shutil
import urllib.request

import pytest

from .conftest import THREADS
from .graphs import API, SAMPLE, workflow
from .host import NODES, PACK, Server, prepare_base, version_of


def test_every_node_and_input_explains_itself(server):
    nodes = {k: v for k, v in server.get("/object_info").items() if k.startswith("MotionInversion")}
    assert nodes.keys() == NODES
    for name, node in nodes.items():
        assert node["description"], name
        for group in ("required", "optional"):
            for entry, spec in node["input"].get(group, {}).items():
                assert spec[1].get("tooltip"), f"{name}.{entry}"
        assert all(node["output_tooltips"]), name
        page = server.request(f"/extensions/ComfyUI-MotionInversion/docs/{name}.md").decode()
        assert page.startswith("# "), name


def test_subgraphs_are_listed(server):
    listed = [entry for entry in server.get("/global_subgraphs").values() if entry["source"] == "custom_node"]
    assert {entry["name"] for entry in listed} == {path.stem for path in (PACK / "subgraphs").glob("*.json")}
    assert len(listed) == 2


def test_templates_are_listed_with_thumbnails(server):
    listed = server.get("/workflow_templates")["ComfyUI-MotionInversion"]
    assert sorted(listed) == [p.stem for p in API]
    for name in listed:
        url = f"{server.url}/api/workflow_templates/ComfyUI-MotionInversion/{name}.jpg"
        with urllib.request.urlopen(url) as answer:
            assert answer.headers["Content-Type"] == "image/jpeg"


def test_without_diffusers_one_loader_says_so_and_the_rest_works(host, tmp_path):
    """A package of the same name that cannot be imported stands in for a broken installation."""
    pytest.importorskip("websocket")
    prepare_base(tmp_path)
    broken = tmp_path / "broken" / "diffusers"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('broken on purpose')\n")
    shutil.copy(SAMPLE, tmp_path / "input" / "clip.mp4")
    with Server(*host, tmp_path, {**THREADS, "PYTHONPATH": str(broken.parent)}) as server:
        assert {name for name in server.get("/object_info") if name.startswith("MotionInversion")} == NODES
        prepared = {
            "1": {"class_type": "LoadVideo", "inputs": {"file": "clip.mp4"}},
            "2": {
                "class_type": "MotionInversionPrepareClip",
                "inputs": {
                    "clip": ["1", 0],
                    "frames": 8,
                    "width": 64,
                    "height": 64,
                    "force_rate": 0.0,
                    "skip_first_frames": 0,
                    "select_every_nth": 2,
                    "fit": "crop",
                },
            },
            "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        }
        run = server.run(prepared)
        assert run.outcome == "execution_success", run.error
        assert "8 of 16 frames" in run.outputs["2"]["text"][0]
        failed = server.run(workflow("1_quickstart"))
        assert failed.outcome == "execution_error"
        assert "needs diffusers, which cannot be imported (broken on purpose)" in failed.error["exception_message"]


def test_version_is_one_that_the_pack_claims_to_support(host):
    assert version_of(host[0]) >= (0, 8, 0)
