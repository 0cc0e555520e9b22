"""One motion to learn, as the options of `train` ask for it, alone or as one of a folder."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codes.from_clip import STEPS_FROM_CODES
from ..errors import MotionError
from ..files.atomic import check_writable
from ..method.embedding import Backbone, MotionEmbedding
from ..training.presets import LEARNED, Preset, preset
from ..training.settings import TrainingSettings
from .common import clip_options, read_reference, say, working

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..training.selection import Keeper
    from ..video import Clip

EVERY = 50  # steps between two candidates


def chosen_preset(options: argparse.Namespace, backbone: Backbone | None = None) -> Preset:
    """The preset, as it is for models of this kind, with what the options change."""
    entry = preset(options.preset, backbone)
    names = {field.name for field in fields(TrainingSettings)}
    changes = {k: v for k, v in vars(options).items() if k in names and v is not None}
    if "timesteps" in changes:
        changes["timesteps"] = tuple(changes["timesteps"])
    return replace(
        entry,
        settings=replace(entry.settings, **changes),
        **{name: getattr(options, name) or getattr(entry, name) for name in LEARNED},
    )


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
    from ..codes.from_clip import reading_of
    from ..training.identity import model_hash
    from ..training.provenance import clip_hash, origin_of, place_in

    if options.start_from_codes is not None and options.steps is None:
        options.steps = STEPS_FROM_CODES
    chosen = chosen_preset(options, model.denoiser.backbone).suiting(model.denoiser)
    as_they_are = [read_reference(options, video, model) for video in videos]
    clips = [in_chosen_look(options, model, clip) for clip in as_they_are]
    if options.look_preview:
        preview(options.look_preview, as_they_are, clips)
    counts = [len(clip.frames) for clip in clips]
    if len(set(counts)) > 1:
        raise MotionError(f"The videos have {', '.join(map(str, counts))} frames: give --frames {min(counts)}.")
    frames = torch.cat([clip.frames for clip in clips])
    mask = read_mask(options, model, "mask", counts[0]) if options.mask else None
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
        starts_at=place_in(as_they_are[0].frames, 0),
        ends_at=place_in(as_they_are[0].frames, -1),
        reading=reading_of(model.name, model.denoiser.backbone, as_they_are[0].frames) if len(clips) == 1 else {},
    )
    _, _, length, *size = model.latent_shape(counts[0], frames.shape[2], frames.shape[1])
    empty = chosen.empty(model.denoiser.backbone, length, (size[0], size[1]))
    if options.start_from_codes is not None:
        empty = read_start(options, model, clips, empty, chosen)
        origin = replace(origin, started_from=empty.origin.started_from)
    return Task(chosen, clips, prompts, mask, replace(empty, origin=origin, advice=chosen.application.advice()))


def read_start(
    options: argparse.Namespace, model: VideoModel, clips: list[Clip], empty: MotionEmbedding, chosen: Preset
) -> MotionEmbedding:
    """What one pass reads of the clip, to begin training with. Raises MotionError for what cannot be begun so."""
    from ..codes.from_clip import reader_of, start_of
    from ..codes.looks import read_clip
    from .read import IN_LOOKS

    if len(clips) > 1:
        raise MotionError(f"--start-from-codes reads one video, but {len(clips)} were given: leave it out.")
    reader = reader_of(options.start_from_codes or None)
    made = reader.codes.decoder.empty
    made.check_fits(model.denoiser.backbone, "What this encoder of motion codes makes")
    latents = model.encode_video(clips[0].frames) if reader.needs_latents else None
    reading = read_clip(reader, clips[0].frames, latents=latents, redraw=model.redraw)
    if reading.warning:
        say(reading.warning)
    elif reading.look != "as_it_is":
        say(
            f"The encoder does not know clips that look like this one, and read it {IN_LOOKS[reading.look]}. "
            f"Training on the clip as it is may lose what was read: add --look {reading.look}, or use `read`."
        )
    begun = start_of(reader.embedding(reading.codes), empty, chosen.settings.train_debias)
    return replace(begun, origin=replace(begun.origin, started_from=f"codes {reader.name}"))


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
        begun=task.start,
        first=torch.stack([clip.frames[0] for clip in task.clips]),
        mask=None if task.mask is None else region_of(task.mask, latents.shape),
        keeper=keeper_of(options, model, task.chosen, task.clips[0].frames, latents[:1]),
        mode=options.mode,
        resume=resume,
    )
    return describe(out), state.step


def in_chosen_look(options: argparse.Namespace, model: VideoModel, clip: Clip) -> Clip:
    from ..video.look import IN_PIECES, LOOKS, REDRAWN, in_look, in_pieces

    if options.look_mask and options.look in ("as_it_is", REDRAWN):
        raise MotionError("--look-mask says what moves for --look neutral_background or flat_object: choose one.")
    if options.look not in LOOKS:
        with working("Drawing the clip again"):
            return replace(clip, frames=in_look(clip.frames, options.look, redraw=model.redraw))
    if options.look == "as_it_is":
        return clip
    if options.preset != "object":
        raise MotionError(
            f"The look {options.look} takes the background away, and with it how the camera moves, which the preset "
            f"{options.preset} is for: use the preset object, or leave the look as it is."
        )
    mask = None
    if options.look_mask:
        mask = read_mask(options, model, "look_mask", len(clip.frames)).float().mean(dim=-1) / 255
    elif in_pieces(clip.frames):
        say(f"{clip.source}: {IN_PIECES}use --look redrawn, or --look-mask.")
    return replace(clip, frames=in_look(clip.frames, options.look, mask))


def preview(out: Path, as_they_are: list[Clip], clips: list[Clip]) -> None:
    """Raises MotionError for a file that cannot be written."""
    from ..files.atomic import replacing
    from ..video import contact_sheet

    rows = [clip.frames for pair in zip(as_they_are, clips, strict=True) for clip in pair]
    labels = [f"{clip.source}, {how}" for clip in clips for how in ("as it is", "as it is learned from")]
    with replacing(out) as path:
        contact_sheet(rows, labels).save(path, "PNG")


def read_mask(options: argparse.Namespace, model: VideoModel, option: str, frames: int) -> Tensor:
    """The picture of an option uint8 `[1, h, w, 3]`, or its video with as many frames as the clip."""
    from ..video import read_clip

    mask = read_clip(getattr(options, option), clip_options(options, model))
    if len(mask.frames) not in (1, frames):
        raise MotionError(
            f"--{option.replace('_', '-')} {mask.source} has {len(mask.frames)} frames, but the clip has {frames}: "
            f"give an image, or a video as long as the clip."
        )
    return mask.frames


def keeper_of(
    options: argparse.Namespace, model: VideoModel, chosen: Preset, reference: Tensor, latents: Tensor
) -> Keeper | None:
    """What takes and scores candidates, if any are asked for: videos of the --keep-best prompts with the motion as the
    preset applies it, start noise included. reference, latents: of the first clip."""
    from ..bundled.models import BUNDLED
    from ..metrics.candidates import FidelityMinusLeak
    from ..metrics.leak import sprite_regions, whole_frame
    from ..training.selection import Keeper
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
