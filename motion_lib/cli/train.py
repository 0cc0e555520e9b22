"""Learn the motion of a video, or of every video in a folder, and write it to a small file.

Describe what the video shows with --prompt, so that the embedding need not learn it: what is said of the look does not
go into the motion. Several videos of one motion take one --prompt each. Ctrl-C keeps what was learned; --resume carries
on. With --keep-best the run is judged along the way, and the best embedding is kept instead of the last.

A folder of videos becomes a folder of files, --out; a folder of images is one video. What each shows stands in a text
file of its name beside it (dance.mp4, dance.txt), or in --prompts. Run again, it carries on where it stopped. Processes
on one or several machines share the videos of a folder: start the same command more than once, or with
accelerate launch --multi_gpu -m motion_lib train FOLDER …

examples:
  motion-inversion train dance.mp4 --prompt "a man dancing" --model zeroscope_v2_576w --out dance.safetensors
  motion-inversion train clip.mp4 --prompt "a red circle on a grey plain background" --steps 100 --out
  clip.safetensors
  motion-inversion train a.mp4 b.mp4 --prompt "a red circle on a grey plain background" --prompt "a blue star on a beige
  striped background" --keep-best "a green heart on a white dotted background" --every 25 --out best.safetensors
  motion-inversion train clips --prompts clips/prompts.csv --model zeroscope_v2_576w --out motions"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.accelerate.training_modes import MODES
from ..errors import MotionError
from ..files.atomic import check_writable
from ..files.claims import claimed
from ..method.embedding import COMPONENTS, QK_AXES, V_AXES, MotionEmbedding
from ..method.integration import INTEGRATIONS
from ..method.patch import DEBIAS
from ..training.losses import LOSSES
from ..training.presets import LEARNED, PRESETS, Preset, preset
from ..training.settings import LR_SCHEDULES, TrainingSettings
from .common import (
    add_clip_arguments,
    add_json,
    add_model_arguments,
    add_seed,
    clip_options,
    load,
    read_reference,
    show,
    working,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..training.selection import Keeper
    from ..video import Clip

EVERY = 50  # steps between two candidates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", metavar="VIDEO", nargs="+", help="mp4, webm, gif, webp, … or a folder of images; or a folder of those"
    )
    parser.add_argument(
        "--prompt", action="append", help="what the video shows, in the model's own words; once for each"
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help='of a folder of videos: CSV with columns file and prompt, or JSON {"dance.mp4": "a man dancing", …}',
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the .safetensors file to write; of a folder of videos, the folder"
    )
    parser.add_argument(
        "--mask", metavar="IMAGE", help="learn only where this image, or video, is bright; it is sized as the video is"
    )
    parser.add_argument("--resume", action="store_true", help="carry on a run that was stopped")
    add_model_arguments(parser)
    parser.add_argument(
        "--mode",
        default="auto",
        choices=MODES,
        help="of training: fast, low_memory, or plain, which is as the model's library runs it; auto: the fastest that "
        "the GPU's memory allows, plain on a CPU (default: auto)",
    )
    add_training_arguments(parser)
    add_keeping_arguments(parser)
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training (each option overrides the preset)")
    kinds = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
    group.add_argument("--preset", default="object", choices=list(PRESETS), help=f"{kinds} (default: object)")
    group.add_argument("--steps", type=int, help="how long to learn; more follows the clip more closely")
    group.add_argument("--learning-rate", type=float, help="how fast to learn")
    group.add_argument("--lr-schedule", choices=list(LR_SCHEDULES), help="how the learning rate falls over the steps")
    group.add_argument("--clip", type=float, metavar="NORM", help="largest norm of the gradient; 0 for no limit")
    group.add_argument("--loss", choices=list(LOSSES), help="what to minimise")
    group.add_argument(
        "--timesteps",
        type=int,
        nargs=2,
        metavar=("LOWEST", "HIGHEST"),
        help="noise levels to learn at, 0 to 999; motion is decided at the high ones",
    )
    group.add_argument(
        "--timestep-bias",
        type=float,
        metavar="POWER",
        help="draw high noise levels more often, by this power of the place in their range; 0 draws all alike",
    )
    group.add_argument("--train-debias", choices=list(DEBIAS), help="form in which the value embedding is learned")
    group.add_argument(
        "--motion-mask",
        type=float,
        metavar="SHARE",
        help="keep the value embedding to where the clip moves: the share of its largest movement that counts in full; "
        "0 keeps it everywhere",
    )
    group.add_argument("--sites", help="layers: all, deep, coarse, coarse_up, or names such as up_blocks.1.*")
    group.add_argument("--components", choices=list(COMPONENTS), help="which embeddings to learn")
    group.add_argument("--integration", choices=list(INTEGRATIONS), help="how they join a layer's input")
    group.add_argument("--qk-axes", choices=list(QK_AXES), help="grid of the query-key embedding; partial: 4×4")
    group.add_argument("--v-axes", choices=list(V_AXES), help="grid of the value embedding; 1d: none")


def add_keeping_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("candidates along the way")
    group.add_argument("--every", type=int, metavar="STEPS", help="write the embedding so far every so many steps")
    group.add_argument(
        "--keep-best",
        nargs="+",
        metavar="PROMPT",
        help="sample these prompts with every candidate, and keep the one whose motion fidelity minus appearance leak "
        f"is highest (every {EVERY} steps if --every is not given)",
    )
    group.add_argument(
        "--patience", type=int, default=0, metavar="N", help="stop after N candidates without a better one (0: never)"
    )


def chosen_preset(options: argparse.Namespace) -> Preset:
    """The preset with what the options change."""
    entry = preset(options.preset)
    names = {field.name for field in fields(TrainingSettings)}
    changes = {k: v for k, v in vars(options).items() if k in names and v is not None}
    if "timesteps" in changes:
        changes["timesteps"] = tuple(changes["timesteps"])
    return replace(
        entry,
        settings=replace(entry.settings, **changes),
        **{name: getattr(options, name) or getattr(entry, name) for name in LEARNED},
    )


def run(options: argparse.Namespace) -> None:
    from .library import clips_in, learn_all

    clips = clips_in(Path(options.video[0])) if len(options.video) == 1 else []
    if clips:
        learn_all(options, clips)
        return
    if not options.prompt:
        raise MotionError("Say with --prompt what the video shows.")
    if len(options.prompt) != len(options.video):
        raise MotionError(
            f"--prompt was given {len(options.prompt)} times for {len(options.video)} videos: give it once for each."
        )
    check_places(options.out)
    with claimed(options.out):
        model = load(options)
        task = task_of(options, model, options.video, options.prompt)
        summary, steps = learn_one(options, model, task, options.out, options.resume)
    best = f", of which {summary['details']['trained_steps']} are kept" if options.keep_best else ""
    line = f"{options.out}: {summary['bytes'] / 1e6:.2f} MB, learned in {steps} steps{best}"
    show(summary, options.json, [line])


def check_places(out: Path) -> None:
    """Raise MotionError, before anything is learned, if a result or a checkpoint could not be written there."""
    from .learning import checkpoint_of

    check_writable(out)
    check_writable(checkpoint_of(out))


@dataclass(frozen=True)
class Task:
    """What is to be learned, and how. mask: uint8 `[1 or f, h, w, 3]`. start: the embedding that training begins with;
    its origin says the rest."""

    chosen: Preset
    clips: list[Clip]
    prompts: list[str]
    mask: Tensor | None
    start: MotionEmbedding


def task_of(options: argparse.Namespace, model: VideoModel, videos: list[str], prompts: list[str]) -> Task:
    """One motion, of one or several videos. Raises MotionError for what a user can mend."""
    import torch

    from ..bundled.models import BUNDLED
    from ..training.identity import model_hash
    from ..training.provenance import clip_hash, origin_of

    chosen = chosen_preset(options)
    clips = [read_reference(options, video, model) for video in videos]
    counts = [len(clip.frames) for clip in clips]
    if len(set(counts)) > 1:
        raise MotionError(f"The videos have {', '.join(map(str, counts))} frames: give --frames {min(counts)}.")
    frames = torch.cat([clip.frames for clip in clips])
    mask = read_mask(options, model, counts[0]) if options.mask else None
    origin = origin_of(
        frames=frames,
        fps=clips[0].fps,
        source=", ".join(clip.source for clip in clips),
        prompt=" | ".join(prompts),
        model=model.name,
        preset=options.preset,
        chosen=chosen,
    )
    folder = BUNDLED[options.model][0] if options.model in BUNDLED else Path(options.model).expanduser()
    origin = replace(
        origin,
        model_sha256=model_hash(folder),
        mask_sha256=None if mask is None else clip_hash(mask),
        scored_by=tuple(options.keep_best or ()),
    )
    size = model.latent_shape(counts[0], frames.shape[2], frames.shape[1])[3:]
    empty = chosen.empty(model.denoiser.backbone, counts[0], size)
    return Task(chosen, clips, prompts, mask, replace(empty, origin=origin, advice=chosen.application.advice()))


def learn_one(
    options: argparse.Namespace, model: VideoModel, task: Task, out: Path, resume: bool
) -> tuple[dict[str, Any], int]:
    """Returns what the file says and the steps that were trained. Raises MotionError for what a user can mend."""
    import torch

    from ..training.region import region_of
    from .inspect import describe
    from .learning import learn

    with working("Encoding the clip"):
        latents = torch.cat([model.encode_video(clip.frames) for clip in task.clips])
    state = learn(
        model,
        latents,
        task.prompts,
        task.chosen,
        task.start.origin,
        out,
        mask=None if task.mask is None else region_of(task.mask, (latents.shape[3], latents.shape[4])),
        keeper=keeper_of(options, model, task.chosen, task.clips[0].frames, latents[:1]),
        mode=options.mode,
        resume=resume,
    )
    return describe(out), state.step


def read_mask(options: argparse.Namespace, model: VideoModel, frames: int) -> Tensor:
    """The picture of --mask uint8 `[1, h, w, 3]`, or its video with as many frames as the clip."""
    from ..video import read_clip

    mask = read_clip(options.mask, clip_options(options, model))
    if len(mask.frames) not in (1, frames):
        raise MotionError(
            f"--mask {mask.source} has {len(mask.frames)} frames, but the clip has {frames}: give an image, or a video "
            f"as long as the clip."
        )
    return mask.frames


def keeper_of(
    options: argparse.Namespace, model: VideoModel, chosen: Preset, reference: Tensor, latents: Tensor
) -> Keeper | None:
    """What takes and scores candidates, if any are asked for: videos of the --keep-best prompts with the motion as the
    preset applies it, start noise included. reference, latents: of the first clip."""
    from ..bundled.models import BUNDLED
    from ..metrics.leak import sprite_regions, whole_frame
    from ..training.selection import FidelityMinusLeak, Keeper
    from .generate import invert_clip

    if not options.keep_best:
        if options.patience:
            raise MotionError("--patience needs scores: say with --keep-best which prompts to try.")
        return Keeper(options.every) if options.every is not None else None
    keeper = Keeper(EVERY if options.every is None else options.every, patience=options.patience)
    keeper.score = FidelityMinusLeak(
        model,
        reference,
        options.keep_best,
        chosen.patch,
        inverted=invert_clip(model, latents) if chosen.application.noise_weight else None,
        noise_weight=chosen.application.noise_weight,
        seed=options.seed,
        regions=sprite_regions if model.name in BUNDLED else whole_frame,
    )
    return keeper
