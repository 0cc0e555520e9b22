"""Words under a node in the graph."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from server import PromptServer

NODE_ID = io.Hidden.unique_id  # a node that says something asks for it among its hidden inputs


def say(node: type[io.ComfyNode], text: str) -> dict[str, Any]:
    """Show a text under the running node at once; returns what puts the same into the history."""
    hidden = getattr(node, "hidden", None)
    server = getattr(PromptServer, "instance", None)
    if hidden is not None and hidden.unique_id is not None and server is not None:
        server.send_progress_text(text, hidden.unique_id, server.client_id)
    return ui.PreviewText(text).as_dict()
