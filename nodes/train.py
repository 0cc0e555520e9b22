"""Learning the motion of a clip."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import comfy.model_management as management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..motion_lib.errors import MotionError
from ..motion_lib.files.embedding_file import load_embedding, save_embedding
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.records import Origin
from ..motion_lib.training.checkpoints import save_checkpoint
from ..motion_lib.training.familiar import warning
from ..motion_lib.training.loop import train
from ..motion_lib.training.presets import PRESETS, Preset
from ..motion_lib.training.provenance import origin_of
from ..motion_lib.training.region import on_latents
from ..motion_lib.training.state import TrainingState
from .checks import checked
from .choices import HELP, Options, chosen_preset, option_inputs
from .host.folders import EMBEDDINGS, TRAINED
from .host.graph import clip_above, prompt_above, weights_above
from .host.images import frames_of
from .host.kinds import kind_of
from .host.results import Inputs, Results
from .host.session import Progress
from .host.shown import NODE_ID, say
from .schema import LossMapType, MotionEmbeddingType, TrainingOptionsType, moved, schema

MODEL_TIP = (
    "A MODEL from Load Motion Video Model, or one of Wan 2.1 or 2.2 from any loader; it is not changed. Where Wan has "
    "one model for high and one for low noise, connect the one for high noise."
)
# What to do where a clip's own look is far from the model's.
LOOK = "choose another look in Prepare Reference Clip, or take what Read Motion (one pass) makes of it"


class TrainMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        about = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
        return schema(
            "Train",
            display_name="Train Motion Embedding",
            description="Learns the motion of one clip. The result is written to disk and reused as long as the inputs "
            "stay the same. Cancelling keeps what was learned so far, and queueing again carries on from there.",
            search_aliases=["motion inversion", "learn motion", "train motion lora"],
            hidden=[NODE_ID, io.Hidden.prompt],
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TIP),
                io.Conditioning.Input(
                    "positive",
                    tooltip="A plain description of the reference clip, from CLIP Text Encode. For a Wan model that "
                    "begins with a picture, from WanImageToVideo with the clip's first frame.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The frames of the reference clip, from VAE Encode; or of all that Draw "
                    "Stand-ins has drawn.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=next(iter(PRESETS)),
                    tooltip=f"The kind of motion. {about}.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip=f"{HELP['steps']} 0 takes the preset's number.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    control_after_generate=False,
                    tooltip=HELP["seed"],
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Shows a preview of what the model makes of the clip while it learns."
                ),
                io.Image.Input(
                    "frames",
                    optional=True,
                    tooltip="The frames that were encoded; the file keeps a few small pictures of them. Leave this "
                    "unconnected if they are not yours to share.",
                ),
                io.Float.Input(
                    "frame_rate",
                    optional=True,
                    force_input=True,
                    tooltip="The frame rate from Prepare Reference Clip. The file records it, because the motion has "
                    "its original speed at this rate.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="The part of the picture to learn from; what moves outside it is not learned. Connect one "
                    "mask, or one for every frame.",
                ),
                TrainingOptionsType.Input(
                    "options",
                    optional=True,
                    tooltip="Connect Training Options to change any other setting. Without it, everything follows the "
                    "preset.",
                ),
                *moved(option_inputs()),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding",
                    tooltip="The learned motion, for Apply Motion Embedding, or for Save Motion Embedding to share it.",
                ),
                LossMapType.Output(display_name="loss", tooltip="The loss of every step, for Plot Loss Graph."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        positive: list,
        latent: dict,
        preset: str,
        steps: int,
        seed: int,
        vae=None,
        frames=None,
        frame_rate: float | None = None,
        region=None,
        options: Options | None = None,
        save_memory: str = "auto",
        reuse: bool = True,
        **choices: Any,
    ) -> io.NodeOutput:
        options = options or Options(choices, save_memory, reuse)
        kind = kind_of(model)
        chosen = chosen_preset(preset, steps, seed, options.choices, kind.backbone)
        latents = kind.latents(latent, management.intermediate_device(), several=True)
        conditioning = kind.conditioning(positive, latents, management.intermediate_device())
        chosen = chosen.learned_from(len(latents))
        settings, advice = chosen.settings, chosen.application.advice()
        mask = None if region is None else _region(region, latents.shape, kind.frames_per_latent)
        inputs = Inputs(model, latents, conditioning, mask)
        origin = _origin(cls, frames, frame_rate, kind.name, preset, chosen)
        hashes = inputs.hashes()
        origin = replace(origin, input_hashes=hashes, mask_sha256=None if mask is None else hashes["mask"])
        start = chosen.empty(kind.backbone, latents.shape[2], latents.shape[3:])
        start = replace(start, origin=origin, advice=advice)
        results = Results.of(preset, start, chosen, inputs)
        if options.reuse and (found := results.find(start)):
            path, kept = found
            # What it was learned from may have been connected later, and the advice be that of a newer version.
            origin = kept.origin.merged(replace(origin, date=kept.origin.date))
            kept = replace(kept, origin=origin, advice=advice)
            return _output(cls, kept, f"Reused {TRAINED}/{path.name}, which was trained from the same inputs.")
        began = time.monotonic()
        with kind.ready_to_train(latents, conditioning, start, options.save_memory, vae) as (denoiser, device, plan):
            say(cls, plan.describe())
            state = results.resume(start, settings, device) if options.reuse else None
            state = state or TrainingState.start(start, settings, device)
            clip = latents.to(device), conditioning.to(device)
            sentence = warning(kind.name, denoiser, *clip, LOOK)
            progress = Progress(model, settings.steps, vae, state.step)
            try:
                for state in train(denoiser, *clip, state, mask):  # noqa: B020
                    progress.update(state.step, denoiser.clean)
            except management.InterruptProcessingException:
                save_embedding(results.partial(state.step), _described(state, start))
                save_checkpoint(results.unfinished, state)
                raise
            save_embedding(results.finished, _described(state, start))
        results.forget_checkpoints()
        took = time.strftime("%M:%S", time.gmtime(time.monotonic() - began))
        where = f"models/{EMBEDDINGS}/{TRAINED}/{results.finished.name}"
        kept = load_embedding(results.finished)
        told = f"Trained {state.step} steps in {took}; the result is kept as {where}."
        return _output(cls, kept, f"{told} {sentence}" if sentence else told)


def _region(masks: Tensor, shape: torch.Size, frames_per_latent: int) -> Tensor:
    """`[f or 1, h, w]` for latents of this shape `[1, c, f, h, w]`; raises MotionError for another number of masks."""
    masks = masks.detach().clone().reshape(-1, *masks.shape[-2:])
    frames = 1 + frames_per_latent * (shape[2] - 1)
    if len(masks) not in (1, frames):
        raise MotionError(
            f"region holds {len(masks)} masks, but the clip has {frames} frames: connect one mask, or one for every "
            f"frame."
        )
    return on_latents(masks, shape)


def _origin(
    node: type[io.ComfyNode], frames, frame_rate: float | None, model: str | None, name: str, chosen: Preset
) -> Origin:
    """Where the motion comes from. Neither LATENT nor CONDITIONING knows the clip's name and the words, and not every
    MODEL its file: these are read from the graph."""
    hidden = getattr(node, "hidden", None)
    graph, number = (hidden.prompt, hidden.unique_id) if hidden is not None else (None, None)
    return origin_of(
        frames=None if frames is None else frames_of(frames),
        fps=frame_rate,
        source=clip_above(graph, number, "latent") or "clip",
        prompt=prompt_above(graph, number, "positive"),
        model=model or weights_above(graph, number, "model") or "",
        preset=name,
        chosen=chosen,
    )


def _described(state: TrainingState, start: MotionEmbedding) -> MotionEmbedding:
    losses = tuple(float(f"{loss:.5g}") for loss in state.losses)
    final = round(sum(losses[-20:]) / max(1, len(losses[-20:])), 5)
    origin = replace(start.origin, trained_steps=state.step, final_loss=final, losses=losses)
    return replace(state.learned, origin=origin, advice=start.advice)


def _output(node: type[io.ComfyNode], embedding: MotionEmbedding, message: str) -> io.NodeOutput:
    losses = list(embedding.origin.losses)
    tenth = max(1, len(losses) // 10)
    if losses:
        first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
        message += f" The mean loss was {first:.4f} in the first tenth of the steps and {last:.4f} in the last tenth."
    return io.NodeOutput(embedding, {"loss": losses}, ui=say(node, message))
