"""Checks that need tensors rather than files: run by ComfyUI's own Python inside ComfyUI, one check per function.

    python tests/comfyui/inside COMFYUI_FOLDER BASE_FOLDER CHECK...

Prints one line of JSON with the numbers that each check measured; what they must be is said in test_inside*.py.
"""

from __future__ import annotations

import json
import sys
import time

CHECKS = sys.argv[3:]

import check_camera  # noqa: E402  the first of these starts ComfyUI, which changes sys.argv
import check_codes  # noqa: E402
import check_edits  # noqa: E402
import check_equality  # noqa: E402
import check_frames  # noqa: E402
import check_loading  # noqa: E402
import check_momentum  # noqa: E402
import check_patches  # noqa: E402
import check_sampling  # noqa: E402
import check_training  # noqa: E402
import check_wan  # noqa: E402
import check_wan_learning  # noqa: E402

HOMES = (
    check_loading,
    check_equality,
    check_patches,
    check_edits,
    check_camera,
    check_codes,
    check_frames,
    check_momentum,
    check_training,
    check_sampling,
    check_wan,
    check_wan_learning,
)


def main() -> None:
    found = {}
    for check in CHECKS:
        (function,) = (vars(home)[check] for home in HOMES if check in vars(home))
        began = time.perf_counter()
        found[check] = function() | {"took": round(time.perf_counter() - began, 2)}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
