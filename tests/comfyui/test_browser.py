"""ComfyUI's own page in headless Chromium: what a user sees of the pack."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Server

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
    assert len(names) == 7
    for name in sorted(names):
        open_template(page, name)
        missing = page.evaluate(
            "window.app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
        )
        assert missing == [], name
        prompt = page.evaluate("window.app.graphToPrompt().then(p => p.output)")
        written = Path(__file__).resolve().parents[2] / "workflows" / "api" / f"{name}.json"
        assert same_graph(prompt, written.read_text()), name


def same_graph(prompt: dict, written: str) -> bool:
    """What the page would queue is what the API workflow says, but for inputs that an older ComfyUI does not have."""
    expected = json.loads(written)
    return prompt.keys() == expected.keys() and all(
        node["class_type"] == expected[number]["class_type"]
        and all(expected[number]["inputs"].get(name) == value for name, value in node["inputs"].items())
        for number, node in prompt.items()
    )


def test_the_help_page_of_a_node_opens(page):
    open_template(page, "1_quickstart")
    page.evaluate(
        """() => {
            const node = window.app.graph.nodes.find(n => n.type === 'MotionInversionTrain');
            window.app.canvas.selectNode(node);
            window.app.canvas.centerOnNode(node);
        }"""
    )
    page.get_by_test_id("info-button").or_(page.locator("button:has(.pi-question-circle)")).last.click()
    page.get_by_text("What is kept").first.wait_for()


def test_running_the_quickstart_shows_progress_and_a_playing_video(page):
    open_template(page, "1_quickstart")
    train = "window.app.graph.nodes.find(n => n.type === 'MotionInversionTrain')"
    page.evaluate(f"{train}.widgets.find(w => w.name === 'steps').value = 10")
    page.evaluate("window.app.queuePrompt(0)")
    page.wait_for_function(f"{train}.progress > 0", timeout=300_000)
    page.wait_for_function(
        "window.app.graph.nodes.filter(n => n.type === 'SaveVideo').every(n => n.imgs?.length || n.videoContainer)",
        timeout=600_000,
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
        page.evaluate("window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        page.wait_for_timeout(1500)
        page.screenshot(path=SCREENSHOT)
