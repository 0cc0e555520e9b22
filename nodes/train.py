"""Learning the motion of a clip."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import comfy.model_management as management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..motion_lib.checkpoints import load_checkpoint, save_checkpoint
from ..motion_lib.describe import details_of
from ..motion_lib.embedding import MotionEmbedding
from ..motion_lib.errors import MotionError
from ..motion_lib.files import load_embedding, save_embedding
from ..motion_lib.presets import LEARNED, PRESETS, Preset
from ..motion_lib.region import on_latents
from ..motion_lib.training import TrainingSettings, TrainingState, train
from .checks import checked
from .choices import Options, chosen_preset, option_inputs
from .host.denoiser import backbone_of, text_embedding, video_latents
from .host.fingerprint import fingerprint, model_state
from .host.folders import EMBEDDINGS, TRAINED, result_path
from .host.graph import clip_above, prompt_above
from .host.images import frames_of
from .host.session import Progress
from .host.shown import NODE_ID, say
from .host.training import ready_to_train
from .schema import LossMapType, MotionEmbeddingType, TrainingOptionsType, moved, schema


class TrainMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        about = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
        return schema(
            "Train",
            display_name="Train Motion Embedding",
            description="Learns the motion of one clip. The result is written to disk and reused as long as the inputs "
            "stay the same; cancelling keeps what was learned so far, and queueing again carries on from there.",
            search_aliases=["motion inversion", "learn motion", "train motion lora"],
            hidden=[NODE_ID, io.Hidden.prompt],
            inputs=[
                io.Model.Input("model", tooltip="A MODEL from Load Motion Video Model; it is not changed."),
                io.Conditioning.Input(
                    "positive", tooltip="A plain description of the reference clip, from CLIP Text Encode."
                ),
                io.Latent.Input("latent", tooltip="The frames of the reference clip, from VAE Encode."),
                io.Combo.Input("preset", options=list(PRESETS), default=next(iter(PRESETS)), tooltip=f"{about}."),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="How long to learn; 0 takes the preset's number. With more steps the video follows the "
                    "clip more closely, and in the end takes on its look as well.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Decides the noise and the timesteps that are drawn while learning.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="Shows a preview of what the model makes of the clip."),
                io.Image.Input(
                    "frames",
                    optional=True,
                    tooltip="The frames that were encoded, of which the file keeps small pictures. Leave this out if "
                    "they are not yours to share.",
                ),
                io.Float.Input(
                    "frame_rate",
                    optional=True,
                    force_input=True,
                    tooltip="From Prepare Reference Clip. The file records at which frame rate the motion has its "
                    "original speed.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="The part of the picture to learn from; what moves outside of it is not learned. Connect "
                    "one mask, or one for every frame.",
                ),
                TrainingOptionsType.Input(
                    "options",
                    optional=True,
                    tooltip="From Training Options, for everything else that can be chosen. Without it, all is as the "
                    "preset has it.",
                ),
                *moved(option_inputs()),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="For Apply, and for Save Motion Embedding to share it."
                ),
                LossMapType.Output(display_name="loss", tooltip="For Plot Loss Graph."),
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
        chosen = chosen_preset(preset, steps, seed, options.choices)
        backbone = backbone_of(model)
        latents = video_latents(model, latent, management.intermediate_device())
        text = text_embedding(model, positive, management.intermediate_device())
        settings = chosen.settings
        start = chosen.empty(backbone, latents.shape[2], latents.shape[3:])
        learned = [getattr(chosen, name) for name in LEARNED]
        mask = None if region is None else _region(region, latents.shape)
        key = fingerprint(model_state(model), latents, text, settings, *learned, mask)
        name = f"{preset}_{key[:16]}"
        finished, unfinished = result_path(TRAINED, f"{name}.safetensors"), result_path(TRAINED, f"{name}.checkpoint")
        details = _details(cls, frames, frame_rate, model.model.folder.name, preset, chosen)
        if options.reuse and finished.is_file():
            kept = load_embedding(finished)
            # What it was learned from may have been connected later, and the advice be that of a newer version.
            kept = replace(kept, details={**kept.details, **details, "date": kept.details.get("date", "")})
            return _output(cls, kept, f"Reused {TRAINED}/{finished.name}, trained from the same inputs.")
        began = time.monotonic()
        shape = (latents.shape[2], latents.shape[1], *latents.shape[3:])
        with ready_to_train(model, shape, start, options.save_memory, vae) as (denoiser, device, plan):
            say(cls, plan.describe())
            state = _begin(unfinished if options.reuse else None, start, settings, device)
            progress = Progress(model, settings.steps, vae, state.step)
            try:
                for state in train(denoiser, latents.to(device), text.to(device), state, mask):  # noqa: B020
                    progress.update(state.step, denoiser.clean)
            except management.InterruptProcessingException:
                partial = result_path(TRAINED, f"{name}_step{state.step}.safetensors")
                save_embedding(partial, _described(state, details))
                save_checkpoint(unfinished, state)
                raise
            save_embedding(finished, _described(state, details))
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        took = time.strftime("%M:%S", time.gmtime(time.monotonic() - began))
        where = f"models/{EMBEDDINGS}/{TRAINED}/{finished.name}"
        return _output(cls, load_embedding(finished), f"Trained {state.step} steps in {took}, kept as {where}.")


def _region(masks: Tensor, shape: torch.Size) -> Tensor:
    """`[f or 1, h, w]` for latents of this shape `[1, c, f, h, w]`; raises MotionError for another number of masks."""
    masks = masks.detach().clone().reshape(-1, *masks.shape[-2:])
    if len(masks) not in (1, shape[2]):
        raise MotionError(f"region holds {len(masks)} masks, but the clip has {shape[2]} frames: give one, or as many.")
    return on_latents(masks, (shape[3], shape[4]))


def _begin(checkpoint, start: MotionEmbedding, settings: TrainingSettings, device) -> TrainingState:
    """From the checkpoint of a cancelled run if there is a sound one."""
    if checkpoint is not None and checkpoint.is_file():
        with suppress(MotionError):
            return load_checkpoint(checkpoint, settings, device)
    return TrainingState.start(start, settings, device)


def _details(
    node: type[io.ComfyNode], frames, frame_rate: float | None, model: str, name: str, chosen: Preset
) -> dict[str, Any]:
    """What the file will say about itself. Neither LATENT nor CONDITIONING knows the clip's name and the words: these
    are read from the graph."""
    hidden = getattr(node, "hidden", None)
    graph, number = (hidden.prompt, hidden.unique_id) if hidden is not None else (None, None)
    return details_of(
        frames=None if frames is None else frames_of(frames),
        fps=frame_rate,
        source=clip_above(graph, number, "latent") or "clip",
        prompt=prompt_above(graph, number, "positive"),
        model=model,
        preset=name,
        chosen=chosen,
    )


def _described(state: TrainingState, details: dict[str, Any]) -> MotionEmbedding:
    losses = [float(f"{loss:.5g}") for loss in state.losses]
    last = losses[-20:]
    found = {"trained_steps": state.step, "final_loss": round(sum(last) / max(1, len(last)), 5), "losses": losses}
    return replace(state.learned, details={**details, **found})


def _output(node: type[io.ComfyNode], embedding: MotionEmbedding, message: str) -> io.NodeOutput:
    losses = embedding.details.get("losses", [])
    tenth = max(1, len(losses) // 10)
    if losses:
        message += f" Loss {sum(losses[:tenth]) / tenth:.4f} at first, {sum(losses[-tenth:]) / tenth:.4f} at last."
    return io.NodeOutput(embedding, {"loss": losses}, ui=say(node, message))
