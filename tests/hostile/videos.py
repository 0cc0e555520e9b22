"""Videos, animations and pictures that are not what they seem."""

from __future__ import annotations

import random
from pathlib import Path

from .assets import Assets
from .judge import Case

SEEDS = 12


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [Case("a clip", ("evaluate", assets.clip, assets.clip))]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(seed)
    data = bytearray(Path(assets.clip).read_bytes())
    for _ in range(20):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (folder / "evil.mp4").write_bytes(data)
    return Case("damaged bytes", ("evaluate", assets.clip, "evil.mp4"))
