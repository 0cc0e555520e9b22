"""CoTracker (Karaev et al., arXiv 2307.07635) as a tracker, for users who have installed it and hold its weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError, shown
from ..video.frames import check_clip_tensor
from .tracks import Tracker, Tracks

GRID = 24  # points a side, laid over the middle frame


@lru_cache(maxsize=1)
def cotracker(weights: str) -> Tracker:
    """A tracker from a checkpoint file of CoTracker, on a GPU if there is one.

    Raises MotionError without the package or the file.
    """
    try:
        from cotracker.predictor import CoTrackerPredictor  # type: ignore[import-not-found]
    except ImportError as error:
        raise MotionError(
            "CoTracker is not installed: install it from its own repository, or use the tracker lucas_kanade."
        ) from error
    if not Path(weights).is_file():
        raise MotionError(f"There is no file {weights}: give a checkpoint of CoTracker as cotracker:FILE.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.load(weights, map_location="meta", weights_only=True)  # its own loader may run what a pickle says
        predictor: Any = CoTrackerPredictor(checkpoint=weights).to(device)
    except Exception as error:  # whatever PyTorch and CoTracker raise for a damaged or foreign file
        raise MotionError(
            f"{shown(weights)} is not a checkpoint of CoTracker ({shown(' '.join(str(error).split()))}): "
            f"download it again."
        ) from error

    def follow(frames: Tensor) -> Tracks:
        check_clip_tensor(frames, least=2)
        video = frames.permute(0, 3, 1, 2)[None].to(device, torch.float32)  # [1, f, 3, h, w], 0 to 255
        with torch.no_grad():
            points, visible = predictor(
                video, grid_size=GRID, grid_query_frame=len(frames) // 2, backward_tracking=True
            )
        points = points[0].float().cpu().transpose(0, 1).contiguous()
        seen = visible[0].reshape(len(frames), -1).bool().cpu().T.contiguous()
        return Tracks(points, seen, (frames.shape[1], frames.shape[2]))

    return follow
