"""Make a video from a prompt, moving like a learned motion.

The motion is applied as the preset it was trained with says, unless an option overrides that. Start noise from
inverting the reference (--noise-weight) carries more of the motion, but also copies the reference's layout; it needs
the reference video.

example:
  motion-inversion generate --motion motion.safetensors --prompt "a blue star on a beige striped background" --out
  a.mp4"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..diffusion.noise import NOISE_HELP, RENORMALISE_HELP, START_NOISES
from ..diffusion.solvers import SAMPLER_HELP, SOLVERS
from ..errors import MotionError
from ..help import help_of
from ..method.application import PATCH, Application, usual_patch
from ..method.curves import parse_curve
from ..method.latent_edits import CAMERA_TOO, edited_like
from ..method.patch import DEBIAS, EXPERTS, MotionPatch
from ..method.stretch import far_from_learned
from .camera import add_camera_arguments, advice, alignment_of, path_in, path_or_still
from .common import (
    add_clip_arguments,
    add_json,
    add_model_arguments,
    add_seed,
    bar,
    clip_options,
    load,
    read_reference,
    say,
    show,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..camera.alignment import CameraAlignment
    from ..method.embedding import MotionEmbedding
    from ..video import Clip


APPLIED = help_of(MotionPatch)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", required=True, help="What the video should show.")
    parser.add_argument("--out", required=True, help="The video to write: .mp4, .webm, .gif or .webp.")
    parser.add_argument("--motion", metavar="FILE", help="The motion embedding. Without one, the prompt alone decides.")
    parser.add_argument(
        "--reference", metavar="VIDEO", help="The video that the motion was learned from, for --noise-weight."
    )
    parser.add_argument(
        "--image",
        metavar="PICTURE",
        help="The picture, or the video whose first frame, to begin with, where the model takes one. It is resized as "
        "--fit says.",
    )
    parser.add_argument(
        "--object",
        metavar="MASK",
        help="A picture that is white where the thing is that --image shows and the motion is meant for. The motion is "
        "moved there from where its clip's thing is in the first frame.",
    )
    add_model_arguments(parser)
    add_application_arguments(parser)
    parser.add_argument("--expert", choices=EXPERTS, help=APPLIED["expert"])
    add_curve_arguments(parser)
    add_camera_arguments(parser)
    parser.add_argument("--steps", type=int, help="How many steps sampling takes (default: as the model says).")
    parser.add_argument("--sampler", choices=list(SOLVERS), help=f"{SAMPLER_HELP} (default: as the model says).")
    parser.add_argument("--guidance", type=float, help="How closely to follow the prompt (default: as the model says).")
    parser.add_argument(
        "--fps", type=float, help="Frames per second of the video (default: as the embedding or the model says)."
    )
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def add_application_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("motion (each option overrides the preset that the file was trained with)")
    group.add_argument("--strength-qk", type=float, help=APPLIED["strength_qk"])
    group.add_argument("--strength-v", type=float, help=APPLIED["strength_v"])
    group.add_argument("--debias", choices=list(DEBIAS), help=APPLIED["debias"])
    group.add_argument("--start", type=float, help=APPLIED["start"])
    group.add_argument("--end", type=float, help=APPLIED["end"])
    group.add_argument("--noise-weight", type=float, help=help_of(Application)["noise_weight"])
    group.add_argument(
        "--noise",
        default="blend",
        choices=list(START_NOISES),
        help=f"{NOISE_HELP} --noise-weight matters to blend and blend_high_frequency; for the others, any weight above "
        "0 is the same (default: blend).",
    )
    group.add_argument("--renormalise", action="store_true", help=RENORMALISE_HELP)


def add_curve_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("strength along the way")
    group.add_argument("--curve", metavar="PAIRS", help=APPLIED["curve"])
    group.add_argument("--frame-curve", metavar="PAIRS", help=APPLIED["frame_curve"])


def run(options: argparse.Namespace) -> None:
    import torch

    from ..camera.noise_warping import warped_noise
    from ..diffusion.noise import mix, statistics
    from ..diffusion.sampling import random_noise
    from ..files.embedding_file import load_embedding
    from ..video import write_video
    from ..video.write import check_writable

    embedding = load_embedding(options.motion) if options.motion else None
    model = load(options)
    if embedding is not None:
        embedding.check_fits(model.denoiser.backbone, Path(options.motion).name)
    fallback = model.defaults
    frames = options.frames or fallback.frames
    fps = options.fps or (embedding.origin.fps if embedding else None) or fallback.fps
    check_writable(options.out, fps)
    shape = model.latent_shape(frames, options.width or fallback.width, options.height or fallback.height)
    picture = None if options.image is None else read_picture(options, model, options.image)
    if options.object:
        embedding = to_object(options, model, embedding)
    weight = noise_weight(options, embedding)
    latents = None
    if weight or (options.reference and (options.camera or advice(embedding)[0])):
        latents = model.encode_video(_clip(options, model, frames).frames)
        latents = latents if embedding is None else edited_like(embedding, latents)
    camera = _camera(options, embedding, model, latents)
    if camera is None:
        noise = random_noise(shape, options.seed).to(model.device, model.dtype)
    else:
        noise = warped_noise(camera.path.resample(frames), shape, options.seed).to(model.device, model.dtype)
    if weight and latents is not None:
        inverted = invert_clip(model, latents, options.steps)
        noise = mix(inverted, noise, weight, options.noise, options.renormalise)
    patches = []
    if embedding is not None:
        patches = [patch_of(options, embedding)]
        if sentence := far_from_learned(embedding, shape[2], (shape[3], shape[4])):
            say(sentence)
    sampling = {"camera": camera, "steps": options.steps, "guidance": options.guidance, "sampler": options.sampler}
    video = make(model, [options.prompt], noise, patches, **sampling, picture=picture)[0]
    write_video(options.out, video, fps)
    start = statistics(noise)
    result = {"out": options.out, "frames": len(video), "fps": fps, "seed": options.seed, "noise_weight": weight}
    result |= {"noise_statistics": asdict(start), "device": str(torch.device(model.device))}
    lines = [f"{options.out}: {len(video)} frames of {video.shape[2]}x{video.shape[1]}", f"start noise: {start}"]
    if camera is not None:
        result |= {"camera": camera.path.rows(), "camera_end": camera.end}
        lines.append(camera.path.describe())
    show(result, options.json, lines)


def read_picture(options: argparse.Namespace, model: VideoModel, path: str) -> Tensor:
    """The first frame of a picture or video, uint8 `[height, width, 3]`, in the size of the video. Raises MotionError
    for a model that begins with none."""
    from ..video import read_clip

    model.check_picture()
    chosen = replace(clip_options(options, model), frame_load_cap=1, force_rate=0.0)
    return read_clip(path, replace(chosen, skip_first_frames=0, select_every_nth=1)).frames[0]


def to_object(options: argparse.Namespace, model: VideoModel, embedding: MotionEmbedding | None) -> MotionEmbedding:
    """The motion where --object is white. Raises MotionError without a motion or a picture, and for a mask that shows
    nothing."""
    from ..method.placement import placed
    from ..video.place import Place

    if embedding is None or options.image is None:
        raise MotionError("--object says where in --image the thing is that --motion is given to: give both.")
    mask = read_picture(options, model, options.object).float().mean(dim=-1) / 255
    begin: tuple[float, ...] = ()
    if options.reference and not embedding.origin.starts_at:
        begin = Place.of_moving(read_reference(options, options.reference, model).frames)
    return placed(embedding, Place.of(mask), begin)


def _clip(options: argparse.Namespace, model: VideoModel, frames: int) -> Clip:
    """The reference, with as many frames as are generated."""
    clip = read_reference(options, options.reference, model)
    if len(clip.frames) != frames:
        found = len(clip.frames)
        raise MotionError(f"{clip.source} has {found} frames, but {frames} are generated: give --frames {found}.")
    return clip


def _camera(
    options: argparse.Namespace, embedding: MotionEmbedding | None, model: VideoModel, latents: Tensor | None
) -> CameraAlignment | None:
    """From --camera; else from the reference, whose latents are given, where the embedding's file asks for it. What the
    embedding moves in its own clip is left alone by the camera of another."""
    if options.camera_end == 0:
        return None
    if options.camera:
        model.check_camera()
        path, own = path_in(options, options.camera, model), None
        if embedding is not None and options.reference:
            own = path_or_still(options, options.reference, model, path)
        elif embedding is not None:
            say("Give the embedding's clip with --reference too, so that the camera leaves alone what moves in it.")
        return alignment_of(options, embedding, path, latents, own)
    if embedding is None or not advice(embedding)[0]:
        return None
    if not options.reference:
        say("This embedding was made to go with the camera of its clip: give its clip with --reference to have both.")
        return None
    if moved := sorted({edit.name for edit in embedding.origin.made_from} & CAMERA_TOO):
        say(f"The embedding was edited ({', '.join(moved)}), but not its reference's camera: the camera is left out.")
        return None
    return alignment_of(options, embedding, path_in(options, options.reference, model), latents)


def patch_of(options: argparse.Namespace, embedding: MotionEmbedding) -> MotionPatch:
    """How the file's own preset applies it, with what the options change."""
    asked = {name: getattr(options, name) for name in PATCH if getattr(options, name) is not None}
    curves = {name: getattr(options, name) or "" for name in ("curve", "frame_curve")}
    asked |= {name: parse_curve(f"--{name.replace('_', '-')}", text) for name, text in curves.items()}
    return replace(usual_patch(embedding), expert=options.expert, **asked)


def noise_weight(options: argparse.Namespace, embedding: MotionEmbedding | None) -> float:
    """What was asked for; else what the file advises if there is a reference to invert, else none."""
    if options.noise_weight is not None:
        if options.noise_weight and not options.reference:
            raise MotionError("--noise-weight needs the video the motion was learned from: give it with --reference.")
        return options.noise_weight
    if embedding is None or not options.reference:
        return 0.0
    advised = embedding.advice.noise_weight
    return 0.5 if advised is None else float(advised)


def invert_clip(model: VideoModel, latents: Tensor, steps: int | None = None, refinements: int | None = None) -> Tensor:
    """The noise of the clip: empty prompt, no guidance, no motion."""
    from ..diffusion.inversion import REFINEMENTS

    steps = steps or model.defaults.steps
    progress = bar(steps, "Inverting the clip")
    try:
        wanted = REFINEMENTS if refinements is None else refinements
        return model.invert(latents, steps=steps, refinements=wanted, on_step=lambda _: progress.update(1))
    finally:
        progress.close()


def make(
    model: VideoModel,
    prompts: list[str],
    noise: Tensor,
    patches: list[MotionPatch],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    sampler: str | None = None,
    picture: Tensor | None = None,
    camera: CameraAlignment | None = None,
    what: str = "Generating",
) -> list[Tensor]:
    """Videos uint8 `[f, h, w, 3]`, one per prompt, from start noise `[b, c, f, h, w]`. picture: uint8 `[h, w, 3]`,
    which all of them begin with."""
    steps = steps or model.defaults.steps
    progress = bar(steps, what)
    chosen = {"picture": picture, "patches": patches, "camera": camera, "steps": steps, "guidance": guidance}
    chosen["sampler"] = sampler
    try:
        return model.generate(prompts, noise, **chosen, on_step=lambda _: progress.update(1))
    finally:
        progress.close()
