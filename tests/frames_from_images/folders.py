"""Model folders in the layout of Stable Diffusion 1.5, at small size and with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from motion_lib.frames_from_images.tiny import tiny_unet
from tests.backbones import folders


def build(folder: Path, **changes: Any) -> Path:
    """Like the folders of video models, whose other parts are the same; changes: to the UNet's configuration."""
    folders.build(folder, folders.FEW_LEVELS)
    for file in (folder / "unet").iterdir():
        file.unlink()
    tiny_unet(**changes).save_pretrained(folder / "unet")
    return folder


def change(folder: Path, part: str, **fields: Any) -> None:
    """Other values in the configuration of a part."""
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
