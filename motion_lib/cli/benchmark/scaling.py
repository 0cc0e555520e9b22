"""How many clips a minute `train` learns over a folder, by one process and by several.

Every count of processes gets a folder of clips, the same number for each process, and is started as accelerate's
launcher starts it, with a GPU for each process. The time is counted after each process has finished its first clip,
because the model is loaded and kernels are compiled once, however many clips there are. Without --model, a model of the
size of ModelScope with random weights is made. On a CPU, --small tries everything on a
model of toy size; its times mean nothing.

examples:
  motion-inversion benchmark scaling --processes 1 2 4
  motion-inversion benchmark scaling --processes 1 2 --model zeroscope_v2_576w --steps 200"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import MotionError
from .speed import add_size_arguments

LOG = "log.txt"
SAYS_WHY = ("Error", "failed", "motion-inversion:")  # in the line of a log that is quoted


@dataclass(frozen=True)
class Scaled:
    """clips a minute by this many processes, once all are under way."""

    processes: int
    clips: int
    per_minute: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2], help="Numbers of processes to compare (default: 1 2)."
    )
    parser.add_argument(
        "--clips", type=int, default=4, help="How many clips each process learns, at least 2 (default: 4)."
    )
    parser.add_argument(
        "--steps", type=int, default=100, help="How many training steps each clip takes (default: 100)."
    )
    parser.add_argument("--model", help="A model folder in diffusers layout, or the name of a bundled model.")
    add_size_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("scaling"),
        help="The folder to write to; an earlier run there is replaced (default: scaling).",
    )


def run(options: argparse.Namespace) -> None:
    from ...files.atomic import replacing

    if options.clips < 2 or min(options.processes) < 1:
        raise MotionError(
            f"{options.clips} clips for each of {min(options.processes)} processes are too few: at least 2 clips and 1 "
            f"process are needed."
        )
    options.out.mkdir(parents=True, exist_ok=True)
    if options.small:
        options.width, options.height, options.frames = 32, 32, 4
    model = options.model or str(_random_model(options.out, options.small))
    found: list[Scaled] = []
    print("| processes | clips a minute | per process ÷ one process |\n| --- | --- | --- |", flush=True)
    for count in options.processes:
        found.append(scaled(options, model, count))
        print(row(found[-1], found), flush=True)
    with replacing(options.out / "scaling.json") as temporary:
        temporary.write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")


def scaled(options: argparse.Namespace, model: str, processes: int) -> Scaled:
    """Raises MotionError when a process fails; its words are in the folder's log."""
    folder = options.out / f"{processes}_processes"
    shutil.rmtree(folder, ignore_errors=True)
    clips = processes * options.clips
    for i in range(clips):
        _draw_clip(folder / "clips" / f"clip_{i:03}", i, options.frames)
    command = [*launcher(processes), "-m", "motion_lib", "train", str(folder / "clips"), "--model", model]
    command += ["--out", str(folder / "library"), "--prompt", "a red circle on a white plain background"]
    command += ["--width", str(options.width), "--height", str(options.height), "--frames", str(options.frames)]
    command += ["--steps", str(options.steps)]
    with (folder / LOG).open("w", encoding="utf-8") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    finished = sorted(file.stat().st_mtime for file in (folder / "library").glob("*.safetensors"))
    if status or len(finished) < clips:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
        said = next((line for line in lines if any(word in line for word in SAYS_WHY)), lines[-1])
        raise MotionError(
            f"Only {len(finished)} of {clips} clips were learned: {folder / LOG} says why. {said.strip()}"
        )
    return Scaled(processes, clips, rate(finished, processes))


def rate(finished: Sequence[float], processes: int) -> float:
    """Clips a minute from the moments in seconds, in order, at which they were finished, those before every process
    can have had its first one left out."""
    return 60 * (len(finished) - processes) / (finished[-1] - finished[processes - 1])


def launcher(processes: int) -> list[str]:
    """accelerate's launcher, or PyTorch's own, which gives processes the same environment."""
    if importlib.util.find_spec("accelerate"):
        given = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        several = ["--multi_gpu"] if processes > 1 else []
        return [*_module("accelerate.commands.launch"), "--num_processes", str(processes), *given, *several]
    return [*_module("torch.distributed.run"), "--standalone", "--nproc_per_node", str(processes)]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def row(each: Scaled, found: Sequence[Scaled]) -> str:
    one = next((other for other in found if other.processes == 1), None)
    share = "–" if one is None else f"{each.per_minute / each.processes / one.per_minute:.3f}"
    return f"| {each.processes} | {each.per_minute:.2f} | {share} |"


def _draw_clip(folder: Path, seed: int, frames: int) -> None:
    """A folder of pictures, which needs nothing to decode it."""
    import torch
    from PIL import Image

    from ...sprites import random_scenes, render

    folder.mkdir(parents=True)
    video = render(random_scenes(1, frames, generator=torch.Generator().manual_seed(seed)))[0]
    for i, frame in enumerate((video * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(frame).save(folder / f"{i:03}.png")


def _random_model(out: Path, small: bool) -> Path:
    """Everything that a model folder holds, with random weights in half precision; made anew unless it is there."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    from ...benchmark.full_size import FULL, FULL_VAE, SCHEDULE, SMALL, random_denoiser
    from ...bundled.models import BUNDLED

    folder = out / ("small_model" if small else "full_size_model")
    if (folder / "scheduler").is_dir():
        return folder
    config = SMALL if small else FULL
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random_denoiser(config, device, torch.float16).unet.save_pretrained(folder / "unet")
    sizes = FULL_VAE | ({"block_out_channels": (8,) * 4, "norm_num_groups": 8} if small else {})
    AutoencoderKL(**sizes).half().save_pretrained(folder / "vae")
    tokenizer = BUNDLED["sprite_t2v"][0] / "tokenizer"
    words = len(json.loads((tokenizer / "vocab.json").read_text(encoding="utf-8")))
    width = config["cross_attention_dim"]
    text = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
    )
    text_encoder: Any = CLIPTextModel(text)
    text_encoder.half().save_pretrained(folder / "text_encoder")
    shutil.copytree(tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    (folder / "scheduler").mkdir()  # last, because it says that all is there
    schedule = json.dumps({"_class_name": "DDIMScheduler", **SCHEDULE})
    (folder / "scheduler" / "scheduler_config.json").write_text(schedule, encoding="utf-8")
    return folder
