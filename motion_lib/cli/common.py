"""Options and habits that several commands share: which model, device and frames; progress on stderr, results on
stdout."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MotionError, printable, shown
from ..help import help_of
from ..video.options import ClipOptions
from .values import seed

if TYPE_CHECKING:
    import torch
    from tqdm import tqdm

    from ..backbones import VideoModel
    from ..video import Clip

CLIP = help_of(ClipOptions)
DTYPES = ("auto", "float32", "float16", "bfloat16")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default="sprite_t2v",
        help="The bundled sprite_t2v, or a folder in diffusers layout, such as ZeroScope's (default: sprite_t2v).",
    )
    add_device_arguments(group)


def add_device_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="The device: auto, cpu, cuda, cuda:1 or mps (default: auto).")
    group.add_argument(
        "--dtype",
        default="auto",
        choices=DTYPES,
        help="The precision; auto is float32 on a CPU and half precision on a GPU.",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=seed, default=0, help="The same seed gives the same result (default: 0).")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print the result as JSON on standard output.")


def add_clip_arguments(parser: argparse.ArgumentParser, otherwise: str = "what the model makes") -> None:
    group = parser.add_argument_group("frames of the video")
    group.add_argument("--frames", type=int, help=f"The number of frames (default: {otherwise}).")
    group.add_argument("--width", type=int, help=f"Width in pixels (default: {otherwise}).")
    group.add_argument("--height", type=int, help=f"Height in pixels (default: {otherwise}).")
    add_selection_arguments(group)


def add_selection_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--fit", default="crop", choices=("crop", "fit", "stretch"), help=CLIP["fit"])
    group.add_argument("--force-rate", type=float, default=0.0, help=CLIP["force_rate"])
    group.add_argument("--skip-first-frames", type=int, default=0, help=CLIP["skip_first_frames"])
    group.add_argument("--select-every-nth", type=int, default=1, help=CLIP["select_every_nth"])


def load(options: argparse.Namespace) -> VideoModel:
    """The model the options ask for, on the device they ask for."""
    from ..backbones import load_model

    device = pick_device(options.device)
    with working(f"Loading {Path(options.model).name}"):
        return load_model(options.model, device, pick_dtype(options.dtype, device))


def pick_device(name: str) -> torch.device:
    """Raises MotionError for a device that is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the meta device has no numbers
        if device.type == "cuda" and device.index is not None:  # plain cuda is the one that is current
            torch.cuda.set_device(device)  # else a part of the first GPU's memory is taken as well
    except Exception as error:  # PyTorch raises another kind for every device that this machine lacks
        reason = shown((str(error).splitlines() or [type(error).__name__])[0])
        raise MotionError(f"--device {shown(name, 80)} cannot be used here ({reason}): use cpu or auto.") from error
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def clip_options(options: argparse.Namespace, model: VideoModel | None = None) -> ClipOptions:
    """What to take from a video, and at which size: as the model makes it, or without one as the video is."""
    size = model.defaults if model else None
    return ClipOptions(
        force_rate=options.force_rate,
        frame_load_cap=options.frames or (size.frames if size else 0),
        skip_first_frames=options.skip_first_frames,
        select_every_nth=options.select_every_nth,
        width=options.width or (size.width if size else 0),
        height=options.height or (size.height if size else 0),
        fit=options.fit,
    )


def read_reference(options: argparse.Namespace, video: str, model: VideoModel) -> Clip:
    """The frames of a reference video, sized for the model; what is wrong with them is said on stderr.

    Raises MotionError for a video that cannot be read or is too short.
    """
    from ..video import check_clip, read_clip

    chosen, wanted = clip_options(options, model), options.frames or model.defaults.frames
    model.latent_shape(wanted, chosen.width, chosen.height)
    clip = read_clip(video, chosen, min_frames=wanted if options.frames else min(wanted, 2))
    for sentence in (*clip.notes, *check_clip(clip.frames).warnings()):
        say(f"{clip.source}: {sentence}")
    return clip


def say(text: str) -> None:
    print(printable(text), file=sys.stderr)


def show(result: dict[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print the result: as JSON where a machine reads, else as lines; in both what a file says acts on no terminal."""
    if as_json:
        lines = json.dumps(without_nan(result), indent=2, ensure_ascii=False).split("\n")
    print("\n".join(map(printable, lines)))


def without_nan(value: Any) -> Any:
    """The same with null where a number is not one, since JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bar(total: int, what: str) -> tqdm:
    """A progress bar on stderr."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, leave=False, dynamic_ncols=True)


class working:
    """`with working("Loading"):` says on a terminal what is going on."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            print(f"{self.what} …", end="\r", file=sys.stderr, flush=True)

    def __exit__(self, *exception: object) -> None:
        if sys.stderr.isatty():
            print(" " * (len(self.what) + 2), end="\r", file=sys.stderr, flush=True)
