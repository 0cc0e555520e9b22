"""The quick benchmark: its measures know the truth, the object preset moves what nothing and noise alone do not, and a
measured camera moves the background."""

import json
import sys
from pathlib import Path
from statistics import mean

folder = Path(sys.argv[1])
report = json.loads((folder / "report.json").read_text())
found = {}
for result in report["results"]:
    scores = found.setdefault(result["method"], {})
    for video in result["videos"]:
        for name in ("path", "camera", "caption"):
            if name in video:
                scores.setdefault(name, []).append(video[name])
means = {method: {name: round(mean(values), 3) for name, values in scores.items()} for method, scores in found.items()}
print(json.dumps(means, indent=2))
truth, nothing, noise, camera = (means[name] for name in ("truth", "no_motion", "noise_blend", "camera_path"))
(preset,) = (scores for name, scores in means.items() if name.startswith("object"))
assert min(truth.values()) > 0.99
assert preset["path"] > nothing["path"] + 0.5 and preset["path"] > noise["path"]
assert camera["camera"] > nothing["camera"] + 0.5
assert preset["caption"] >= nothing["caption"] - 0.1
assert all((folder / "sheets" / f"{case['name']}.png").stat().st_size for case in report["cases"])
