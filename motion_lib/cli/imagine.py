"""Make a video from a prompt with an image model, without training (ZS²), or edit one by an instruction.

The frames are sampled side by side: their start noise is tied, and in the model's attention every frame looks at what
the frames before it look like. With --image, the video begins with a picture. With --edit and a model of
InstructPix2Pix's kind, the prompt says what to do with a given clip.

examples:
  motion-inversion imagine --model sprite_image --prompt "a red circle on a grey plain background" --out red.mp4
  motion-inversion imagine --model models/stable-diffusion-v1-5 --prompt "a horse galloping on a street" --out
  horse.mp4
  motion-inversion imagine --model models/instruct-pix2pix --edit clip.mp4 --prompt "make it a watercolour" --out
  watercolour.mp4"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..diffusion.frame_noise import PRIOR_HELP, PRIORS, SIMILARITY_HELP
from ..errors import MotionError
from ..frames_from_images.edit import Edit
from ..frames_from_images.momentum import Momentum, parse_scales
from ..help import help_of
from .common import (
    add_device_arguments,
    add_json,
    add_seed,
    add_selection_arguments,
    bar,
    clip_options,
    pick_device,
    pick_dtype,
    say,
    show,
    working,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..video import Clip

LOOKS_BACK = help_of(Momentum)
EDITED = help_of(Edit)
BEGINNINGS = ("held", "inverted")
FPS = 8.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt", required=True, help="What the video should show, or with --edit what to do with the clip."
    )
    parser.add_argument("--out", required=True, help="The video to write: .mp4, .webm, .gif or .webp.")
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        required=True,
        metavar="FOLDER",
        help="An image model in diffusers layout, of the kind of Stable Diffusion 1.5 or 2, or InstructPix2Pix for "
        "--edit, or sprite_image, which comes with this program, knows coloured shapes and runs on a CPU.",
    )
    add_device_arguments(group)
    add_tie_arguments(parser)
    group = parser.add_argument_group("first picture")
    group.add_argument("--image", metavar="PICTURE", help="The picture, or the video whose first frame, to begin with.")
    group.add_argument(
        "--image-as",
        choices=BEGINNINGS,
        default=BEGINNINGS[0],
        help="How the video begins with it: held makes it the first frame as it is; inverted starts from the noise "
        "that the model would sample it from, so that the prompt can change it (default: held).",
    )
    group = parser.add_argument_group("edit of a clip")
    group.add_argument("--edit", metavar="VIDEO", help="The clip to edit as the prompt says, frame by frame.")
    group.add_argument(
        "--picture-guidance",
        type=float,
        default=Edit.picture_guidance,
        help=f"{EDITED['picture_guidance']} --guidance says how closely to follow the instruction (default: 1.5).",
    )
    add_selection_arguments(group)
    group = parser.add_argument_group("video")
    group.add_argument("--frames", type=int, help="The number of frames (default: 16, or all of a shorter clip's).")
    group.add_argument("--width", type=int, help="Width in pixels (default: what the model makes).")
    group.add_argument("--height", type=int, help="Height in pixels (default: what the model makes).")
    group.add_argument("--fps", type=float, help="Frames per second of the video (default: 8, or the clip's).")
    group.add_argument("--steps", type=int, help="How many steps sampling takes (default: as the model says).")
    group.add_argument("--guidance", type=float, help="How closely to follow the prompt (default: as the model says).")
    add_seed(parser)
    add_json(parser)


def add_tie_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what ties the frames")
    group.add_argument(
        "--noise", choices=list(PRIORS), default="dependency", help=f"{PRIOR_HELP} (default: dependency)."
    )
    group.add_argument("--similarity", type=float, help=f"{SIMILARITY_HELP} (default: as published).")
    group.add_argument(
        "--parameter",
        type=float,
        help="Instead of --similarity, the number that the prior's paper ties frames with: λ of dependency noise, α of "
        "progressive and mixed noise.",
    )
    group.add_argument(
        "--momentum", type=float, default=Momentum.momentum, help=f"{LOOKS_BACK['momentum']} (default: 0.98)."
    )
    group.add_argument("--start", type=float, default=Momentum.start, help=LOOKS_BACK["start"])
    group.add_argument("--end", type=float, default=Momentum.end, help=LOOKS_BACK["end"])
    group.add_argument("--scales", default="", help=f"{LOOKS_BACK['scales']} Stable Diffusion has 1, 2, 4 and 8.")


def run(options: argparse.Namespace) -> None:
    from ..diffusion.frame_noise import tied
    from ..diffusion.noise import statistics
    from ..diffusion.sampling import random_noise
    from ..frames_from_images.imagine import check_model, imagine
    from ..frames_from_images.loading import load_image_model
    from ..video import write_video
    from ..video.write import check_writable

    momentum, similarity = momentum_of(options), similarity_of(options)
    check_writable(options.out, FPS if options.fps is None else options.fps)
    if options.frames is not None and options.frames < 2:
        raise MotionError(f"--frames is {options.frames}, but a video that holds together has at least 2.")
    device = pick_device(options.device)
    with working(f"Loading {options.model}"):
        model = load_image_model(options.model, device, pick_dtype(options.dtype, device))
    check_model(model, bool(options.edit))
    usual = model.defaults
    size = (options.width or usual.width, options.height or usual.height)
    steps, frames, fps, edit = options.steps or usual.steps, options.frames or usual.frames, options.fps, None
    if options.edit:
        clip = clip_to_edit(options, model)
        frames, fps = len(clip.frames), clip.fps if fps is None else fps
        check_writable(options.out, fps)
        edit = Edit(model.encode_video(clip.frames), options.picture_guidance)
    fresh = random_noise(model.latent_shape(frames, *size), options.seed)
    first = None
    if options.image:
        picture = picture_latents(options, model, size)
        if options.image_as == "held":
            first = picture
        else:
            fresh[:, :, :1] = inverted(model, picture, steps).to(fresh)
    noise = tied(fresh, options.noise, similarity)
    progress = bar(steps, "Sampling")
    try:
        latents = imagine(
            model,
            [options.prompt],
            noise.to(model.device, model.dtype),
            momentum,
            first=first,
            edit=edit,
            steps=steps,
            guidance=options.guidance,
            on_step=lambda _: progress.update(1),
        )
    finally:
        progress.close()
    video, fps = model.decode_video(latents), FPS if fps is None else fps
    write_video(options.out, video, fps)
    result = {"out": options.out, "frames": len(video), "fps": fps, "seed": options.seed}
    result |= {"noise": options.noise, "similarity": similarity, **asdict(momentum)}
    result |= {"noise_statistics": asdict(statistics(noise)), "device": str(model.device)}
    lines = [f"{options.out}: {len(video)} frames of {video.shape[2]}x{video.shape[1]}"]
    lines.append(f"start noise: {options.noise}, similarity {similarity:.3f}, {statistics(noise)}")
    show(result, options.json, lines)


def momentum_of(options: argparse.Namespace) -> Momentum:
    return Momentum(options.momentum, options.start, options.end, parse_scales("--scales", options.scales))


def similarity_of(options: argparse.Namespace) -> float:
    """What was asked for in either way, else as published. Raises MotionError for both, and for impossible numbers."""
    from ..diffusion.frame_noise import correlations, similarity_of

    if options.similarity is not None and options.parameter is not None:
        raise MotionError("--similarity and --parameter say the same in two ways: give one of them.")
    if options.similarity is None:
        return similarity_of(options.noise, options.parameter)
    correlations(options.noise, options.similarity, 1)
    return options.similarity


def clip_to_edit(options: argparse.Namespace, model: VideoModel) -> Clip:
    """As many frames of --edit as are asked for, or as there are up to the usual number, at the size of the video."""
    from ..video import read_clip

    chosen = clip_options(options, model)
    model.latent_shape(2, chosen.width, chosen.height)  # a size that does not suit, before the clip is read
    clip = read_clip(options.edit, chosen, min_frames=options.frames or 2)
    for sentence in clip.notes:
        say(f"{clip.source}: {sentence}")
    return clip


def picture_latents(options: argparse.Namespace, model: VideoModel, size: tuple[int, int]) -> Tensor:
    """Of the first frame of --image, `[1, c, 1, h, w]`."""
    from ..video import ClipOptions, read_clip

    clip = read_clip(options.image, ClipOptions(frame_load_cap=1, width=size[0], height=size[1], fit=options.fit))
    return model.encode_video(clip.frames)


def inverted(model: VideoModel, picture: Tensor, steps: int) -> Tensor:
    """The picture's noise: empty prompt, no guidance, no momentum."""
    progress = bar(steps, "Inverting the picture")
    try:
        return model.invert(picture, steps=steps, on_step=lambda _: progress.update(1))
    finally:
        progress.close()
