"""What a stranger's file says of itself is text, in the history and in ComfyUI's page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_lib.files.embedding_file import save_embedding
from motion_lib.method.embedding import MotionEmbedding
from tests.tiny import saying, tiny_backbone

from .host import Server
from .test_browser import READY, page  # noqa: F401

SCRIPT = "<img src=x onerror=\"window.ran = 'script'\"><svg onload=\"window.ran = 'svg'\">"
DETAILS = {
    "title": f"{SCRIPT} a < b & c",
    "author": "[[a safe place|https://evil.example/\" onclick=\"window.ran='link']] [[[x|https://evil.example]]",
    "license": "__LNK0__ ___LNK7__",
    "prompt": "one\ntwo\x1b[2J\u202etxt <script>window.ran = 'tag'</script>",
    "description": "<a href=\"javascript:window.ran='address'\">here</a> " + "long " * 5000,
    "preset": f"object {SCRIPT}",
}
SCREENSHOTS = os.environ.get("MOTION_SCREENSHOTS")  # a folder for pictures of what is seen


@pytest.fixture(scope="module")
def graph(server: Server, base: Path) -> Iterator[dict[str, Any]]:
    """Load → Save of a stranger's file."""
    folder = base / "models" / "motion_embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    embedding = saying(MotionEmbedding.zeros(tiny_backbone(), "deep", 3, (5, 6)), DETAILS)
    save_embedding(folder / "stranger.safetensors", embedding)
    yield {
        "1": {"class_type": "MotionInversionLoadEmbedding", "inputs": {"name": "stranger.safetensors"}},
        "2": {
            "class_type": "MotionInversionSaveEmbedding",
            "inputs": {
                "motion_embedding": ["1", 0],
                "name": "copy",
                "title": DETAILS["title"],
                "author": DETAILS["author"],
                "license": "",
            },
        },
    }
    for name in ("stranger", "copy"):
        (folder / f"{name}.safetensors").unlink(missing_ok=True)


def test_the_history_holds_no_markup(server: Server, graph: dict[str, Any]) -> None:
    run = server.run(graph)
    assert run.outcome == "execution_success", run.error
    for node in graph:
        (text,) = run.outputs[node]["text"]
        assert not {"<", ">", "\x1b", "\u202e"} & set(text) and "[[" not in text and "__LNK" not in text
        assert "‹img src=x" in text and " a ‹ b & c" in text and len(text) < 2500
        assert max(map(len, text.splitlines())) < 1000


def run_in(tab: Any, graph: dict[str, Any]) -> None:
    """In the page, as if it had been opened there."""
    tab.evaluate("window.app.clean(); delete window.ran")
    tab.evaluate("graph => window.app.loadApiJson(graph, 'stranger')", graph)
    tab.evaluate("window.app.queuePrompt(0)")


def harmless(tab: Any) -> bool:
    tab.wait_for_timeout(1500)  # a picture that cannot be loaded says so a moment later
    return tab.evaluate(
        """() => window.ran === undefined && !document.querySelector('img[src="x"]')
            && ![...document.querySelectorAll('a')].some(a => /evil.example|javascript:/.test(a.href)
                && a.textContent !== a.getAttribute('href'))"""
    )


def picture(tab: Any, name: str) -> None:
    if SCREENSHOTS:
        tab.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def test_the_page_shows_text_and_runs_nothing(page, graph: dict[str, Any]) -> None:  # noqa: F811
    page.wait_for_function(READY)
    run_in(page, graph)
    shown = page.get_by_text("‹img src=x onerror=", exact=False)
    page.wait_for_function("document.body.innerText.split('‹img src=x onerror=').length > 2", timeout=60_000)
    picture(page, "shown")
    assert harmless(page)
    assert "a ‹ b & c" in shown.first.inner_text()


SENTENCE = "must be a file name inside models/motion_embeddings"


def test_an_error_of_a_node_is_shown_as_text_and_runs_nothing(page, graph: dict[str, Any]) -> None:  # noqa: F811
    """A sentence that quotes what it refuses. Older versions open a dialog; newer ones say that there is an error, and
    show it in a panel."""
    page.keyboard.press("Escape")  # a dialog that the version opened by itself
    page.wait_for_function(READY)
    save = {**graph["2"], "inputs": {**graph["2"]["inputs"], "name": f"../{SCRIPT}"}}
    run_in(page, {**graph, "2": save})
    panel = page.get_by_test_id("error-overlay-see-errors")
    sentence = page.get_by_text(SENTENCE, exact=False)
    panel.or_(sentence).first.wait_for()
    if panel.is_visible():
        panel.click()
    sentence.first.wait_for()
    picture(page, "error")
    assert "<img src=x onerror=" in sentence.first.inner_text()
    assert harmless(page)
