"""ComfyUI's own page in headless Chromium: what a user sees of the pack."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from .host import PACK, Server, differences, node_of

PACK_NAME = "ComfyUI-MotionInversion"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
READY = "window.app && window.app.graph && window.app.extensionManager && document.querySelector('canvas')"
SCREENSHOT = os.environ.get("MOTION_SCREENSHOT")  # where to keep a picture of the finished quickstart


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium: install it, or set CHROMIUM to its path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1800, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(server.url)
        page.wait_for_function(READY)
        page.evaluate("window.app.extensionManager.setting.set('Comfy.TutorialCompleted', true)")
        yield page
        browser.close()


def open_template(page: Any, name: str) -> None:
    """As choosing it in the list of templates does: fetch it, then load it into the canvas."""
    page.evaluate(
        """async ([pack, name]) => {
            const answer = await fetch(`/api/workflow_templates/${pack}/${name}.json`);
            await window.app.loadGraphData(await answer.json(), true, true, name);
        }""",
        [PACK_NAME, name],
    )


def test_the_templates_of_the_pack_are_listed(page):
    page.evaluate("window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text(PACK_NAME, exact=False).first.click()
    page.get_by_text("quickstart", exact=False).first.wait_for()
    page.reload()  # which closes the list in every version
    page.wait_for_function(READY)


def test_every_template_opens_without_missing_nodes_or_lost_values(page):
    names = page.evaluate("fetch('/api/workflow_templates').then(r => r.json())")[PACK_NAME]
    assert set(names) == {path.stem for path in (PACK / "workflows" / "api").glob("*.json")}
    for name in sorted(names):
        open_template(page, name)
        missing = page.evaluate(
            "window.app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
        )
        assert missing == [], name
        prompt = page.evaluate("window.app.graphToPrompt().then(p => p.output)")
        assert differences(prompt, json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text())) == {}, name


def test_the_subgraphs_are_in_the_node_library(page):
    page.evaluate("window.app.extensionManager.command.execute('Workspace.ToggleSidebarTab.node-library')")
    library = page.get_by_placeholder("Search", exact=False).first
    for name in (path.stem for path in (PACK / "subgraphs").glob("*.json")):
        library.fill(name)
        page.locator(".side-bar-panel, [class*=sidebar]").get_by_text(name, exact=False).first.wait_for()
    page.evaluate("window.app.extensionManager.command.execute('Workspace.ToggleSidebarTab.node-library')")


def load(page: Any, workflow: dict) -> None:
    page.evaluate("([graph, name]) => window.app.loadGraphData(graph, true, true, name)", [workflow, "opened"])


SHOWN = """number => window.app.graph.getNodeById(number).widgets
    .filter(w => !w.hidden && !w.options.hidden).map(w => w.name)"""
TRAINING = ["preset", "steps", "seed"]


def test_a_workflow_with_all_settings_at_the_training_node_opens_as_it_was_saved(page):
    """Written before Training Options was a node of its own."""
    saved = json.loads((PACK / "tests" / "data" / "workflow_with_training_settings.json").read_text())
    load(page, saved)
    (train,) = (node for node in saved["nodes"] if node["type"] == "MotionInversionTrain")
    prompt = page.evaluate("window.app.graphToPrompt().then(p => p.output)")
    inputs = prompt[str(train["id"])]["inputs"]
    names = list(page.evaluate(f"window.app.graph.getNodeById({train['id']}).widgets.map(w => w.name)"))
    assert [inputs[name] for name in names] == train["widgets_values"]
    assert {name for name, value in inputs.items() if isinstance(value, list)} == {
        entry["name"] for entry in train["inputs"] if entry["link"] is not None
    }
    as_before = {name for name, value in inputs.items() if value == "as preset"}
    assert len(as_before) == 3
    assert page.evaluate(SHOWN, train["id"]) == [name for name in names if name not in as_before]


def test_the_training_node_shows_three_settings_and_its_options_the_others(page, server):
    open_template(page, "1b_every_step")
    number = page.evaluate("window.app.graph.nodes.find(n => n.type === 'MotionInversionTrain').id")
    assert page.evaluate(SHOWN, number) == TRAINING
    number = page.evaluate(
        """() => {
            const node = LiteGraph.createNode('MotionInversionTrainingOptions');
            window.app.graph.add(node);
            return node.id;
        }"""
    )
    known = server.get("/object_info/MotionInversionTrain")["MotionInversionTrain"]["input"]["optional"]
    assert page.evaluate(SHOWN, number) == [name for name, entry in known.items() if entry[1].get("hidden")]


def test_the_help_page_of_a_node_opens(page):
    open_template(page, "1b_every_step")
    page.evaluate(
        """() => {
            const node = window.app.graph.nodes.find(n => n.type === 'MotionInversionTrain');
            window.app.canvas.selectNode(node);
            window.app.canvas.centerOnNode(node);
        }"""
    )
    page.get_by_test_id("info-button").or_(page.locator("button:has(.pi-question-circle)")).last.click()
    page.get_by_text("What is kept").first.wait_for()


WATCH = """() => {
    const api = window.comfyAPI.api.api;
    window.seen = {};
    for (const kind of ['progress', 'execution_success', 'execution_error'])
        api.addEventListener(kind, event => (window.seen[kind] ??= []).push(event.detail));
}"""
SET = """([title, name, value]) => {
    const node = window.app.graph.nodes.find(node => node.title === title);
    node.widgets.find(widget => widget.name === name).value = value;
}"""


def test_running_the_quickstart_shows_progress_and_a_playing_video(page):
    open_template(page, "1_quickstart")
    if not SCREENSHOT:
        page.evaluate(SET, ["Learn a Motion", "steps", 4])
        page.evaluate(SET, ["Video with this Motion", "steps", 2])
    page.evaluate("window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.evaluate(WATCH)
    page.evaluate("window.app.queuePrompt(0)")
    page.wait_for_function("seen.execution_success || seen.execution_error", timeout=600_000)
    assert page.evaluate("seen.execution_error") is None
    prompt = page.evaluate("window.app.graphToPrompt().then(p => p.output)")
    train = node_of(prompt, "MotionInversionTrain")
    values = page.evaluate("number => seen.progress.filter(p => p.node === number).map(p => p.value)", train)
    assert values == sorted(values)
    assert values[-1] > 1
    # The page makes a video's player when its node is drawn, so what is off the screen never has one.
    page.wait_for_function(
        "window.app.graph.nodes.filter(n => n.type === 'SaveVideo').every(n => n.imgs?.length || n.videoContainer)"
    )
    playing = page.wait_for_function(
        """async () => {
            const video = document.querySelector('video');
            if (!video || video.readyState < 2) return false;
            const before = video.currentTime;
            await new Promise(done => setTimeout(done, 300));
            return video.currentTime !== before;
        }""",
        timeout=60_000,
    )
    assert playing
    if SCREENSHOT:
        page.wait_for_timeout(1500)
        page.screenshot(path=SCREENSHOT)
