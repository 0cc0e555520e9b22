"""Workflows for the small Wan that comes with the pack: stock nodes load it, but for its text encoder."""

from __future__ import annotations

from graph import Graph, Group, Link, Node
from parts import GUIDANCE, PIXELS, STEPS
from wan import FRAMES, WanParts

SHIFT = 3.0  # what sprite_wan was trained with
STAR = "a blue star on a beige striped background"
RING = "a yellow ring on a navy checkered background"  # what the other sample clip shows


class SmallWanParts(WanParts):
    def small_model(self) -> tuple[Node, Link, Link]:
        """MODEL, CLIP and VAE."""
        model = self.transformer("sprite_wan_fp16.safetensors", 0, SHIFT)
        text = self.add("MotionInversionLoadText", (0, 150), size=(340, 80), model="sprite_wan")
        vae = self.add("VAELoader", (0, 280), size=(340, 60), vae_name="sprite_wan_vae_fp16.safetensors")
        return model, text[0], vae[0]

    def small_empty(self, position: tuple[int, int]) -> Node:
        return self.empty_video(position, PIXELS)

    def picture(self, x: int, y: int) -> Node:
        """The first frame of the sample clip, in whose place Load Image does as well."""
        clip = self.add("MotionInversionSampleClip", (x, y), clip="camera_pan.mp4")
        frames = self.add("GetVideoComponents", (x, y + 130), video=clip[0])
        return self.add("ImageFromBatch", (x, y + 260), "The picture", image=frames[0], batch_index=0, length=1)

    def from_picture(self, picture: Node, texts: tuple[Node, Node], vae: Link, position: tuple[int, int]) -> Node:
        """Positive and negative CONDITIONING, and the empty latent."""
        return self.add(
            "WanImageToVideo",
            position,
            positive=texts[0][0],
            negative=texts[1][0],
            vae=vae,
            width=PIXELS[0],
            height=PIXELS[1],
            length=FRAMES,
            batch_size=1,
            start_image=picture[0],
        )

    def two_texts(self, text: Link, wanted: str, x: int, y: int) -> tuple[Node, Node]:
        return (
            self.words(text, wanted, (x, y), "What the video should show"),
            self.words(text, "", (x, y + 160), "Negative prompt"),
        )

    def sampled(self, model: Node, positive: Link, negative: Link, latent: Link, position: tuple[int, int]) -> Node:
        return self.add(
            "KSampler",
            position,
            size=(320, 480),
            model=model[0],
            positive=positive,
            negative=negative,
            latent_image=latent,
            seed=1,
            steps=STEPS,
            cfg=GUIDANCE,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )


def videos() -> Graph:
    graph = SmallWanParts("8_small_wan_text_or_picture_to_video")
    model, text, vae = graph.small_model()
    texts = graph.two_texts(text, STAR, 760, 0)
    samples = graph.sampled(model, texts[0][0], texts[1][0], graph.small_empty((760, 320))[0], (1140, 0))
    graph.shown(samples, vae, 1500, "small_wan_text")
    graph.groups.append(Group("Text to video", (740, -80), (1120, 680)))
    top = 720
    picture = graph.picture(380, top)
    texts = graph.two_texts(text, RING, 760, top)
    given = graph.from_picture(picture, texts, vae, (760, top + 320))
    samples = graph.sampled(model, given[0], given[1], given[2], (1140, top))
    graph.shown(samples, vae, 1500, "small_wan_picture", top)
    graph.groups.append(Group("Picture to video", (360, top - 80), (1500, 700)))
    graph.note((0, -480), (700, 380))
    return graph


def with_a_motion() -> Graph:
    graph = SmallWanParts("9_motion_on_a_small_wan")
    model, text, vae = graph.small_model()
    motion = graph.learned(model, text, vae, 420, PIXELS, stand_ins=True)
    applied = graph.applied(model, motion, (1180, 540))
    texts = graph.two_texts(text, STAR, 1180, 0)
    samples = graph.sampled(applied, texts[0][0], texts[1][0], graph.small_empty((1180, 320))[0], (1580, 0))
    graph.shown(samples, vae, 1960, "small_wan_motion")
    graph.note((0, -480), (760, 440))
    return graph


def with_a_motion_from_a_picture() -> Graph:
    graph = SmallWanParts("10_motion_on_a_small_wan_from_a_picture")
    model, text, vae = graph.small_model()
    motion = graph.learned(model, text, vae, 420, PIXELS, "flat_object")
    applied = graph.applied(model, motion, (1180, 680))
    texts = graph.two_texts(text, RING, 1180, 0)
    given = graph.from_picture(graph.picture(760, 660), texts, vae, (1180, 320))
    samples = graph.sampled(applied, given[0], given[1], given[2], (1580, 0))
    graph.shown(samples, vae, 1960, "small_wan_motion_picture")
    graph.note((0, -480), (760, 440))
    return graph


GRAPHS = [videos(), with_a_motion(), with_a_motion_from_a_picture()]
