"""Learn the motion of a video and write it to a small file.

Describe what the video shows with --prompt, so that the embedding need not learn it: what is said of the look does not
go into the motion. Ctrl-C keeps what was learned; --resume carries on.

examples:
  motion-inversion train dance.mp4 --prompt "a man dancing" --model zeroscope_v2_576w --out dance.safetensors
  motion-inversion train clip.mp4 --prompt "a red circle on a grey plain background" --steps 100 --out
  clip.safetensors"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from ..embedding import COMPONENTS, QK_AXES, V_AXES
from ..integration import INTEGRATIONS
from ..losses import LOSSES
from ..presets import LEARNED, PRESETS, Preset, preset
from ..training import TrainingSettings
from .common import add_clip_arguments, add_json, add_model_arguments, add_seed, load, read_reference, show, working


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="mp4, webm, gif, webp, … or a folder of images")
    parser.add_argument("--prompt", required=True, help="what the video shows, in the model's own words")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--resume", action="store_true", help="carry on a run that was stopped")
    add_model_arguments(parser)
    add_training_arguments(parser)
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training (each option overrides the preset)")
    kinds = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
    group.add_argument("--preset", default="object", choices=list(PRESETS), help=f"{kinds} (default: object)")
    group.add_argument("--steps", type=int, help="how long to learn; more follows the clip more closely")
    group.add_argument("--learning-rate", type=float, help="how fast to learn")
    group.add_argument("--loss", choices=list(LOSSES), help="what to minimise")
    group.add_argument(
        "--timesteps",
        type=int,
        nargs=2,
        metavar=("LOWEST", "HIGHEST"),
        help="noise levels to learn at, 0 to 999; motion is decided at the high ones",
    )
    group.add_argument("--sites", help="layers: all, deep, coarse, or names such as up_blocks.1.*")
    group.add_argument("--components", choices=list(COMPONENTS), help="which embeddings to learn")
    group.add_argument("--integration", choices=list(INTEGRATIONS), help="how they join a layer's input")
    group.add_argument("--qk-axes", choices=list(QK_AXES), help="grid of the query-key embedding; partial: 4×4")
    group.add_argument("--v-axes", choices=list(V_AXES), help="grid of the value embedding; 1d: none")


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
    from ..describe import details_of
    from .inspect import describe
    from .learning import learn

    chosen = chosen_preset(options)
    model = load(options)
    clip = read_reference(options, options.video, model)
    with working("Encoding the clip"):
        latents = model.encode_video(clip.frames)
    details = details_of(
        frames=clip.frames,
        fps=clip.fps,
        source=clip.source,
        prompt=options.prompt,
        model=model.name,
        preset=options.preset,
        chosen=chosen,
    )
    state = learn(model, latents, options.prompt, chosen, details, options.out, resume=options.resume)
    summary = describe(options.out)
    show(summary, options.json, [f"{options.out}: {summary['bytes'] / 1e6:.2f} MB, learned in {state.step} steps"])
