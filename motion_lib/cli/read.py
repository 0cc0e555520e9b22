"""Read a clip's motion in one pass, without training.

An encoder looks at the clip once and writes an embedding that every command takes. It has learned on clips of the
sprite world and makes embeddings for sprite_t2v; it says so where a clip is unlike those (docs/codes.md).

examples:
  motion-inversion read dance.mp4 --out motion.safetensors
  motion-inversion read dance.mp4 --camera-from pan.mp4 --out both.safetensors"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MotionError
from .common import add_clip_arguments, add_json, pick_device, say, show

if TYPE_CHECKING:
    from ..codes.reader import Reader, Reading
    from ..video import Clip

PRESETS = ("auto", "object", "camera", "hybrid")
LOOKS = ("auto", "as_it_is", "neutral_background", "flat_object", "redrawn")

IN_LOOKS = {
    "neutral_background": "with its background in plain grey",
    "flat_object": "with its background in plain grey and what moves in red",
    "redrawn": "as its model draws it again",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="A video file (mp4, webm, gif, webp, …), or a folder of images.")
    parser.add_argument("--out", type=Path, required=True, help="The .safetensors file to write.")
    parser.add_argument(
        "--preset",
        default="auto",
        choices=PRESETS,
        help="What the embedding is applied as; auto goes by what moves in the clip (default: auto).",
    )
    parser.add_argument(
        "--camera-from",
        metavar="VIDEO",
        help="Take how the camera moves from this video, and how the object moves from the first.",
    )
    parser.add_argument(
        "--look",
        default="auto",
        choices=LOOKS,
        help="The look in which the clip is read. auto reads it as it is and, if it is unlike what the encoder knows, "
        "with its background in plain grey, or its object in red besides, where the camera stands still, or else as "
        "the encoder's model draws it again from a tenth of noise, which takes some seconds (default: auto).",
    )
    add_codes_argument(parser)
    parser.add_argument("--device", default="auto", help="The device: auto, cpu, cuda, cuda:1 or mps (default: auto).")
    add_clip_arguments(parser, "what the encoder's model makes")
    add_json(parser)


def add_codes_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--codes",
        type=Path,
        metavar="FILE",
        help="The encoder's .safetensors file (default: the one that comes with sprite_t2v).",
    )


def run(options: argparse.Namespace) -> None:
    from ..codes.from_clip import embedding_of, reader_of
    from ..files.atomic import check_writable
    from ..files.embedding_file import save_embedding

    check_writable(options.out)
    reader = reader_of(options.codes, pick_device(options.device))
    clip = clip_for(reader, options, options.video)
    camera, source = None, ""
    if options.camera_from:
        other = clip_for(reader, options, options.camera_from)
        camera, source = reader.read(other.frames, latents_for(reader, other)), other.source  # its background counts
        if camera.warning:
            say(f"{source}: {camera.warning}")
    embedding, reading = embedding_of(
        reader,
        clip.frames,
        clip.source,
        fps=clip.fps,
        latents=latents_for(reader, clip),
        preset=options.preset,
        look=options.look,
        camera=camera,
        cameras_source=source,
    )
    if reading.warning:
        say(f"{clip.source}: {reading.warning}")
    save_embedding(options.out, embedding)
    summary = {
        "file": str(options.out),
        "bytes": options.out.stat().st_size,
        "fits": reader.model,
        "preset": embedding.origin.preset,
        "words": reader.words(reading),
        "look": reading.look,
        "distance": round(reading.distance, 4),
        "farthest_seen": round(reading.most, 4),
    }
    show(summary, options.json, lines_of(summary, reading))


def clip_for(reader: Reader, options: argparse.Namespace, video: str) -> Clip:
    """The frames of a video as `train` would take them for the encoder's model.

    Raises MotionError for a video that cannot be read or is too short.
    """
    from ..bundled.models import BUNDLED
    from ..video import ClipOptions, check_clip, read_clip

    known = BUNDLED.get(reader.model)
    size = known[1] if known else None
    chosen = ClipOptions(
        force_rate=options.force_rate,
        frame_load_cap=options.frames or reader.codes.design.frames,
        skip_first_frames=options.skip_first_frames,
        select_every_nth=options.select_every_nth,
        width=options.width or (size.width if size else 0),
        height=options.height or (size.height if size else 0),
        fit=options.fit,
    )
    clip = read_clip(video, chosen, min_frames=options.frames or 2)
    for sentence in (*clip.notes, *check_clip(clip.frames).warnings()):
        say(f"{clip.source}: {sentence}")
    return clip


def latents_for(reader: Reader, clip: Clip) -> Any:
    """What an encoder needs that looks at latents; None for the others. Raises MotionError where the model that makes
    them is not there."""
    if not reader.needs_latents:
        return None
    from ..backbones import load_model
    from ..bundled.models import BUNDLED

    if reader.model not in BUNDLED:
        raise MotionError(f"This encoder looks at the latents of {reader.model}, which does not come with the library.")
    return load_model(reader.model, "cpu").encode_video(clip.frames)


def lines_of(summary: dict[str, Any], reading: Reading) -> Iterator[str]:
    from ..codes.likeness import spoken

    yield f"{summary['file']}: {summary['bytes'] / 1e6:.2f} MB, for {summary['fits']}, preset {summary['preset']}"
    first, last = reading.path[0].tolist(), reading.path[-1].tolist()
    how = f" ({IN_LOOKS[reading.look]})" if reading.look in IN_LOOKS else ""
    yield f"read: {spoken(summary['words']) or 'nothing that moves'}{how}"
    yield (
        f"the object goes from {first[0]:.2f}, {first[1]:.2f} to {last[0]:.2f}, {last[1]:.2f} (half pictures from the "
        f"middle, right and down) and becomes {reading.scale.diff().sum().exp():.2f} times as large"
    )
    measured = " (measured by points that were followed)" if reading.camera_measured else ""
    yield (reading.camera.describe() if reading.camera_moves else "the camera stands still") + measured
    yield f"distance from what the encoder has seen: {reading.distance:.2f} of at most {reading.most:.2f}"
