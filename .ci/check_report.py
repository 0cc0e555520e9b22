"""The demo on a short setting: everything is there, and the motion is already nearer than without the embedding."""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
names = ("reference.mp4", "without_motion.mp4", "with_motion.mp4", "comparison.webp", "motion.safetensors")
missing = [name for name in names if not (folder / name).stat().st_size]
report = json.loads((folder / "report.json").read_text())
without, moved = report["mean"]["without"], report["mean"]["with"]
print(json.dumps({"without": without, "with": moved, "seconds": report["seconds"]}, indent=2))
assert not missing, missing
assert report["file_bytes"] < 5_000_000
assert moved["path_correlation"] > without["path_correlation"] + 0.2
assert moved["colour_right"] >= 0.6
