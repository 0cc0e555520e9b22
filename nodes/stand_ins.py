"""Stand-ins for a clip: what to learn its motion from, and nothing of its look."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..motion_lib.sprites.stand_ins import MOST, STAND_INS, stand_ins
from .checks import checked
from .clip import fitted
from .host.images import frames_of, images_of
from .host.shown import NODE_ID, say
from .schema import schema


class DrawStandIns(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "StandIns",
            display_name="Draw Stand-ins",
            description="Draws simple shapes, each in a look of its own, that take the path of what moves in a clip, "
            "and grow and turn with it. A motion that is learned from all of them takes nothing over of how the clip "
            "looks. For one thing that moves before a still background; limbs that move are not drawn.",
            search_aliases=["appearance leak", "motion without appearance", "path", "trajectory", "augment clip"],
            hidden=[NODE_ID],
            inputs=[
                io.Image.Input("frames", tooltip="The frames of the clip, from Prepare Reference Clip."),
                io.Clip.Input("clip", tooltip="The text encoder of the model that learns; each shape is described."),
                io.Vae.Input("vae", tooltip="The VAE of the model that learns."),
                io.Int.Input(
                    "count",
                    default=STAND_INS,
                    min=1,
                    max=MOST,
                    tooltip="How many clips are drawn. Every step of training takes one of them, so more take longer "
                    "to encode, but not to learn from.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Which shapes, colours and backgrounds are drawn.",
                ),
                io.Mask.Input(
                    "moving",
                    optional=True,
                    tooltip="What moves: a mask for every frame. Without it, what differs from the still background is "
                    "taken.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The clips, for Train Motion Embedding."),
                io.Conditioning.Output(display_name="positive", tooltip="What each shows, for Train Motion Embedding."),
                io.Image.Output(display_name="frames", tooltip="The frames of all of them, one clip after the other."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, frames, clip, vae, count: int, seed: int, moving=None) -> io.NodeOutput:
        reference = frames_of(frames)
        mask = None if moving is None else fitted(moving, *reference.shape[1:3])
        drawn = stand_ins(reference, count, seed, mask)
        latents, told = [], []
        for each in drawn:
            latents.append(_as_video(vae.encode(images_of(each.frames))))
            told += clip.encode_from_tokens_scheduled(clip.tokenize(each.prompt))
        shown = torch.cat([images_of(each.frames) for each in drawn])
        text = "\n".join(each.prompt for each in drawn)
        return io.NodeOutput({"samples": torch.cat(latents)}, told, shown, ui=say(cls, text))


def _as_video(samples: torch.Tensor) -> torch.Tensor:
    """`[1, c, f, h, w]`, which an autoencoder of single pictures gives as `[f, c, h, w]`."""
    return samples if samples.ndim == 5 else samples.movedim(0, 1)[None]
