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
from .common import read_reference, say, working
from .looks import learned_from, preview, read_mask

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
    """What is to be learned, and how. reference: the first clip as it is. clips: in the look that is learned from, with
    a prompt each. mask: uint8 `[1 or f, h, w, 3]`. start: the embedding that training begins with; its origin says the
    rest."""

    chosen: Preset
    reference: Clip
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
    shown = [learned_from(options, model, *each) for each in zip(as_they_are, prompts, strict=True)]
    if options.look_preview:
        preview(options.look_preview, as_they_are, shown)
    clips, prompts = (list(each) for each in zip(*(pair for pairs in shown for pair in pairs), strict=True))
    chosen = chosen.learned_from(len(clips))
    counts = [len(clip.frames) for clip in clips]
    if len(set(counts)) > 1:
        raise MotionError(f"The videos have {', '.join(map(str, counts))} frames: give --frames {min(counts)}.")
    frames = torch.cat([clip.frames for clip in clips])
    mask = read_mask(options, model, "mask", counts[0]) if options.mask else None
    origin = origin_of(
        frames=frames,
        fps=clips[0].fps,
        source=", ".join(clip.source for clip in as_they_are),
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
        reading=reading_of(model.name, model.denoiser.backbone, as_they_are[0].frames) if len(videos) == 1 else {},
    )
    _, _, length, *size = model.latent_shape(counts[0], frames.shape[2], frames.shape[1])
    empty = chosen.empty(model.denoiser.backbone, length, (size[0], size[1]))
    if options.start_from_codes is not None:
        if len(videos) > 1:
            raise MotionError(f"--start-from-codes reads one video, but {len(videos)} were given: leave it out.")
        empty = read_start(options, model, clips[0].frames, empty, chosen)
        origin = replace(origin, started_from=empty.origin.started_from)
    return Task(
        chosen,
        as_they_are[0] if len(clips) > len(videos) else clips[0],
        clips,
        prompts,
        mask,
        replace(empty, origin=origin, advice=chosen.application.advice()),
    )


def read_start(
    options: argparse.Namespace, model: VideoModel, frames: Tensor, empty: MotionEmbedding, chosen: Preset
) -> MotionEmbedding:
    """What one pass reads of a clip uint8 `[f, h, w, 3]`, to begin training with. Raises MotionError for what cannot be
    begun so."""
    from ..codes.from_clip import reader_of, start_of
    from ..codes.looks import read_clip
    from .read import IN_LOOKS

    reader = reader_of(options.start_from_codes or None)
    made = reader.codes.decoder.empty
    made.check_fits(model.denoiser.backbone, "What this encoder of motion codes makes")
    latents = model.encode_video(frames) if reader.needs_latents else None
    reading = read_clip(reader, frames, latents=latents, redraw=model.redraw)
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
        keeper=keeper_of(options, model, task.chosen, task.reference.frames, latents[:1]),
        mode=options.mode,
        resume=resume,
    )
    return describe(out), state.step


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
