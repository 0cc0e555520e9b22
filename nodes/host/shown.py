"""Words under a node in the graph."""

from __future__ import annotations

import re
from typing import Any

from comfy_api.latest import io, ui
from server import PromptServer

NODE_ID = io.Hidden.unique_id  # a node that says something asks for it among its hidden inputs
# ComfyUI's page takes such a text for HTML (0.8.0 runs what is in it), and for links of its own. The marks that look
# like these act nowhere, whether a page shows the text as it is or as HTML; an escape such as &lt; would be seen.
INERT = str.maketrans("<>", "‹›")
LINKS = re.compile(r"(?<=\[)(?=\[)|(?<=_)(?=_LNK)")  # [[words|address]], and what the page replaces that with


def inert(text: str) -> str:
    """The text with nothing in it that a page would take for markup."""
    return LINKS.sub(" ", text.translate(INERT))


def say(node: type[io.ComfyNode], text: str) -> dict[str, Any]:
    """Show a text under the running node at once, as nothing but text; returns what puts the same into the history."""
    text = inert(text)
    hidden = getattr(node, "hidden", None)
    server = getattr(PromptServer, "instance", None)
    if hidden is not None and hidden.unique_id is not None and server is not None:
        server.send_progress_text(text, hidden.unique_id, server.client_id)
    return ui.PreviewText(text).as_dict()
