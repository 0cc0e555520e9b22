"""Pieces that several workflows share."""

from __future__ import annotations

from graph import Graph, Link, Node, Outer

MODEL, CLIP, VAE = 0, 1, 2  # outputs of Load Motion Video Model
TEXT, TALL = (340, 110), (340, 330)  # sizes of a prompt, and of a node that shows a video
PIXELS, FRAMES, STEPS, GUIDANCE, RATE = (128, 128), 16, 20, 4.0, 8.0  # what sprite_t2v was made for
Source = Node | tuple[Outer, ...]  # what has outputs: a node, or inputs of the subgraph in its place
Number = int | float | str | Outer


class Parts(Graph):
    def load(self, name: str = "sprite_t2v") -> Node:
        return self.add("MotionInversionLoadModel", (0, 0), model=name)

    def reference(self, clip: str, frames: int = FRAMES, size: tuple[int, int] = PIXELS) -> Node:
        """The prepared frames of a sample clip."""
        source = self.add("MotionInversionSampleClip", (0, 180), clip=clip)
        return self.prepare(source, frames, *size)

    def prepare(self, clip: Source, frames: Number, width: Number, height: Number) -> Node:
        return self.add(
            "MotionInversionPrepareClip",
            (0, 320),
            size=(320, 380),
            clip=clip[0],
            frames=frames,
            width=width,
            height=height,
        )

    def encode(self, model: Source, frames: Node) -> Node:
        return self.add("VAEEncode", (380, 340), pixels=frames[0], vae=model[VAE])

    def prompt(self, model: Source, text: Number, position: tuple[int, int], title: str) -> Node:
        return self.add("CLIPTextEncode", position, title, TEXT, clip=model[CLIP], text=text)

    def train(
        self, model: Source, clip: Node, latent: Node, text: Number, preset: Number, steps: Number = 0, seed: Number = 0
    ) -> Node:
        words = self.prompt(model, text, (380, 180), "What the reference shows")
        return self.add(
            "MotionInversionTrain",
            (760, 200),
            size=(360, 380),
            model=model[MODEL],
            positive=words[0],
            latent=latent[0],
            vae=model[VAE],
            frames=clip[0],
            frame_rate=clip[1],
            preset=preset,
            steps=steps,
            seed=seed,
        )

    def inverted(self, model: Source, latent: Source, steps: Number = STEPS) -> Node:
        return self.add("MotionInversionInvert", (760, 640), model=model[MODEL], latent=latent[0], steps=steps)

    def mixed(self, model: Source, inverted: Node, weight: Number, seed: Number = 1) -> Node:
        return self.add(
            "MotionInversionMixNoise",
            (1180, 760),
            model=model[MODEL],
            inverted_noise=inverted[0],
            weight=weight,
            noise_seed=seed,
        )

    def empty(self, position: tuple[int, int], frames: int = FRAMES, size: tuple[int, int] = PIXELS) -> Node:
        return self.add("EmptyLatentImage", position, width=size[0], height=size[1], batch_size=frames)

    def sample_from(
        self,
        noise: Node,
        empty: Node,
        plain: Source,
        model: Source,
        text: Number,
        steps: Number = STEPS,
        guidance: Number = GUIDANCE,
        scheduler: Number = "simple",
        negative: Number = "",
    ) -> Node:
        """From a NOISE to frames; `model` samples, `plain` is the loader."""
        wanted = self.prompt(plain, text, (1180, 0), "What the video should show")
        without = self.prompt(plain, negative, (1180, 160), "Negative prompt")
        guider = self.add("CFGGuider", (1580, 0), model=model[0], positive=wanted[0], negative=without[0], cfg=guidance)
        sampler = self.add("KSamplerSelect", (1580, 180), sampler_name="ddim")
        sigmas = self.add("BasicScheduler", (1580, 300), model=model[0], scheduler=scheduler, steps=steps, denoise=1.0)
        samples = self.add(
            "SamplerCustomAdvanced",
            (1580, 660),
            noise=noise[0],
            guider=guider[0],
            sampler=sampler[0],
            sigmas=sigmas[0],
            latent_image=empty[0],
        )
        return self.add("VAEDecode", (1960, 0), samples=samples[0], vae=plain[VAE])

    def sample(
        self, plain: Node, model: Node, texts: tuple[Node, Node], empty: Node, top: int, title: str = ""
    ) -> Node:
        """From fresh noise to frames, by KSampler."""
        samples = self.add(
            "KSampler",
            (1180, top),
            title,
            (320, 480),
            model=model[0],
            positive=texts[0][0],
            negative=texts[1][0],
            latent_image=empty[0],
            seed=1,
            steps=STEPS,
            cfg=GUIDANCE,
            sampler_name="ddim",
            scheduler="simple",
            denoise=1.0,
        )
        return self.add("VAEDecode", (1540, top), samples=samples[0], vae=plain[VAE])

    def save(self, video: Source, slot: int, position: tuple[int, int], name: str) -> None:
        self.add(
            "SaveVideo",
            position,
            size=TALL,
            video=video[slot],
            filename_prefix=f"motion_inversion/{name}",
            format="auto",
            codec="auto",
        )

    def save_frames(self, frames: Node, position: tuple[int, int], name: str) -> None:
        x, y = position
        video = self.add("CreateVideo", position, images=frames[0], fps=RATE)
        self.save(video, 0, (x, y + 200), name)

    def report(self, reference: Link, frames: Link, position: tuple[int, int] = (1960, 140)) -> Node:
        return self.add("MotionInversionReport", position, size=(340, 300), reference=reference, generated=frames)
