"""Workflows for Wan 2.1 and 2.2, whose parts stock nodes load."""

from __future__ import annotations

from graph import Graph, Link, Node
from parts import TEXT, Parts

SIZE, FRAMES, RATE = (832, 480), 33, 16.0
TEXT_ENCODER, VAE = "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan_2.1_vae.safetensors"
REFERENCE = "a red circle on a grey plain background"
WANTED = "a hot air balloon over green hills, bright morning"
UNWANTED = "blurry, static, low quality, jpeg artefacts, text, watermark"


class WanParts(Parts):
    def transformer(self, name: str, y: int, shift: float, title: str = "") -> Node:
        loaded = self.add("UNETLoader", (0, y), title, (340, 90), unet_name=name, weight_dtype="default")
        return self.add("ModelSamplingSD3", (380, y), size=(280, 60), model=loaded[0], shift=shift)

    def text_and_vae(self, y: int) -> tuple[Link, Link]:
        text = self.add("CLIPLoader", (0, y), size=(340, 110), clip_name=TEXT_ENCODER, type="wan")
        vae = self.add("VAELoader", (0, y + 170), size=(340, 60), vae_name=VAE)
        return text[0], vae[0]

    def words(self, text: Link, said: str, position: tuple[int, int], title: str) -> Node:
        return self.add("CLIPTextEncode", position, title, TEXT, clip=text, text=said)

    def learned(
        self,
        model: Node,
        text: Link,
        vae: Link,
        y: int,
        size: tuple[int, int] = SIZE,
        look: str = "as_it_is",
        stand_ins: bool = False,
    ) -> Node:
        """The motion of the sample clip, learned from it in a look, or from what stands in for it."""
        source = self.add("MotionInversionSampleClip", (0, y), clip="figure_eight_33.mp4")
        clip = self.add(
            "MotionInversionPrepareClip",
            (0, y + 140),
            size=(340, 440),
            clip=source[0],
            frames=FRAMES,
            width=size[0],
            height=size[1],
            look=look,
        )
        if stand_ins:
            drawn = self.add(
                "MotionInversionStandIns",
                (380, y),
                size=(340, 260),
                frames=clip[0],
                clip=text,
                vae=vae,
                count=8,
                seed=0,
            )
            latent, told = drawn[0], drawn[1]
        else:
            latent = self.add("VAEEncode", (380, y + 190), pixels=clip[0], vae=vae)[0]
            told = self.words(text, REFERENCE, (380, y), "What the reference shows")[0]
        return self.add(
            "MotionInversionTrain",
            (760, y),
            size=(360, 380),
            model=model[0],
            positive=told,
            latent=latent,
            frames=clip[0],
            frame_rate=clip[1],
            preset="object",
            steps=0,
            seed=0,
        )

    def applied(self, model: Node, motion: Node, position: tuple[int, int]) -> Node:
        return self.add("MotionInversionApply", position, model=model[0], motion_embedding=motion[0], strength=1.0)

    def empty_video(self, position: tuple[int, int], size: tuple[int, int] = SIZE) -> Node:
        return self.add("EmptyHunyuanLatentVideo", position, width=size[0], height=size[1], length=FRAMES, batch_size=1)

    def shown(self, samples: Node, vae: Link, x: int, name: str, y: int = 0) -> Node:
        frames = self.add("VAEDecode", (x, y), samples=samples[0], vae=vae)
        video = self.add("CreateVideo", (x, y + 100), images=frames[0], fps=RATE)
        self.save(video, 0, (x, y + 240), name)
        return frames


def one_model() -> Graph:
    graph = WanParts("11_wan_2.1_1.3b_832x480")
    model = graph.transformer("wan2.1_t2v_1.3B_fp16.safetensors", 0, 8.0)
    text, vae = graph.text_and_vae(150)
    motion = graph.learned(model, text, vae, 480)
    applied = graph.applied(model, motion, (1180, 540))
    samples = graph.add(
        "KSampler",
        (1580, 0),
        size=(320, 480),
        model=applied[0],
        positive=graph.words(text, WANTED, (1180, 0), "What the video should show")[0],
        negative=graph.words(text, UNWANTED, (1180, 160), "Negative prompt")[0],
        latent_image=graph.empty_video((1180, 320))[0],
        seed=1,
        steps=30,
        cfg=6.0,
        sampler_name="uni_pc",
        scheduler="simple",
        denoise=1.0,
    )
    graph.shown(samples, vae, 1960, "wan_2.1")
    graph.note((0, -480), (760, 440))
    return graph


def two_experts() -> Graph:
    graph = WanParts("12_wan_2.2_two_experts")
    high = graph.transformer("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", 0, 8.0, "For high noise")
    low = graph.transformer("wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", 150, 8.0, "For low noise")
    text, vae = graph.text_and_vae(300)
    motion = graph.learned(high, text, vae, 630)
    positive = graph.words(text, WANTED, (1180, 0), "What the video should show")
    negative = graph.words(text, UNWANTED, (1180, 160), "Negative prompt")
    told = {
        "positive": positive[0],
        "negative": negative[0],
        "steps": 20,
        "cfg": 3.5,
        "sampler_name": "euler",
        "scheduler": "simple",
        "noise_seed": 1,
    }
    noisy = graph.add(
        "KSamplerAdvanced",
        (1580, 0),
        "The first half, with the motion",
        (320, 480),
        model=graph.applied(high, motion, (1180, 540))[0],
        latent_image=graph.empty_video((1180, 320))[0],
        add_noise="enable",
        start_at_step=0,
        end_at_step=10,
        return_with_leftover_noise="enable",
        **told,
    )
    samples = graph.add(
        "KSamplerAdvanced",
        (1940, 0),
        "The second half",
        (320, 480),
        model=low[0],
        latent_image=noisy[0],
        add_noise="disable",
        start_at_step=10,
        end_at_step=10_000,
        return_with_leftover_noise="disable",
        **told,
    )
    graph.shown(samples, vae, 2320, "wan_2.2")
    graph.note((0, -480), (760, 440))
    return graph


GRAPHS = [one_model(), two_experts()]
