"""The example workflows, described once; `build.py` writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_lib.presets import PRESETS

NOTES = Path(__file__).parent / "notes"


@dataclass(frozen=True)
class Link:
    node: int
    slot: int = 0


@dataclass
class Node:
    id: int
    kind: str
    position: tuple[int, int]
    inputs: dict[str, Any]
    title: str = ""
    size: tuple[int, int] | None = None

    def __getitem__(self, slot: int) -> Link:
        return Link(self.id, slot)


@dataclass
class Note:
    text: str
    position: tuple[int, int]
    size: tuple[int, int]


@dataclass
class Graph:
    name: str
    nodes: list[Node] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def add(
        self,
        kind: str,
        position: tuple[int, int],
        title: str = "",
        size: tuple[int, int] | None = None,
        **inputs: Any,
    ) -> Node:
        node = Node(len(self.nodes) + 1, kind, position, inputs, title, size)
        self.nodes.append(node)
        return node

    def note(self, position: tuple[int, int], size: tuple[int, int]) -> None:
        """The text in `notes` that has the graph's name."""
        text = (NOTES / f"{self.name}.md").read_text(encoding="utf-8")
        self.notes.append(Note(text, position, size))


MODEL, CLIP, VAE = 0, 1, 2  # outputs of Load Motion Video Model
TEXT, TALL = (340, 110), (340, 330)  # sizes of a prompt, and of a node that shows a video
PIXELS, FRAMES, STEPS, GUIDANCE, RATE = (128, 128), 16, 20, 4.0, 8.0  # what sprite_t2v was made for


class Parts(Graph):
    """Pieces that several workflows share."""

    def load(self, name: str = "sprite_t2v") -> Node:
        return self.add("MotionInversionLoadModel", (0, 0), model=name)

    def reference(self, model: Node, clip: str, frames: int = FRAMES, size: tuple[int, int] = PIXELS) -> Node:
        """The prepared frames of a sample clip."""
        source = self.add("MotionInversionSampleClip", (0, 180), clip=clip)
        return self.add(
            "MotionInversionPrepareClip",
            (0, 320),
            size=(320, 380),
            clip=source[0],
            frames=frames,
            width=size[0],
            height=size[1],
        )

    def encode(self, model: Node, frames: Node) -> Node:
        return self.add("VAEEncode", (380, 340), pixels=frames[0], vae=model[VAE])

    def prompt(self, model: Node, text: str, position: tuple[int, int], title: str) -> Node:
        return self.add("CLIPTextEncode", position, title, TEXT, clip=model[CLIP], text=text)

    def train(self, model: Node, clip: Node, latent: Node, text: str, preset: str) -> Node:
        words = self.prompt(model, text, (380, 180), "What the reference shows")
        return self.add(
            "MotionInversionTrain",
            (760, 200),
            size=(360, 780),
            model=model[MODEL],
            positive=words[0],
            latent=latent[0],
            vae=model[VAE],
            frames=clip[0],
            frame_rate=clip[1],
            preset=preset,
        )

    def inverted(self, model: Node, latent: Node, steps: int = STEPS) -> Node:
        return self.add("MotionInversionInvert", (760, 1040), model=model[MODEL], latent=latent[0], steps=steps)

    def sample_mixed(
        self,
        plain: Node,
        model: Node,
        inverted: Node,
        text: str,
        weight: float,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        frames: int = FRAMES,
        size: tuple[int, int] = PIXELS,
        scheduler: str = "simple",
    ) -> Node:
        """From mixed noise to frames; `model` samples, `plain` is the loader."""
        noise = self.add(
            "MotionInversionMixNoise",
            (1180, 760),
            model=plain[MODEL],
            inverted_noise=inverted[0],
            weight=weight,
            noise_seed=1,
        )
        empty = self.empty((1580, 480), frames, size)
        return self.sample_from(noise, empty, plain, model, text, steps, guidance, scheduler)

    def empty(self, position: tuple[int, int], frames: int = FRAMES, size: tuple[int, int] = PIXELS) -> Node:
        return self.add("EmptyLatentImage", position, width=size[0], height=size[1], batch_size=frames)

    def sample_from(
        self,
        noise: Node,
        empty: Node,
        plain: Node,
        model: Node,
        text: str,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        scheduler: str = "simple",
    ) -> Node:
        """From a NOISE to frames; `model` samples, `plain` is the loader."""
        wanted = self.prompt(plain, text, (1180, 0), "What the video should show")
        without = self.prompt(plain, "", (1180, 160), "Negative prompt")
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

    def save(self, frames: Node, slot: int, position: tuple[int, int], name: str, rate: float = RATE) -> None:
        x, y = position
        video = self.add("CreateVideo", (x, y), images=frames[slot], fps=rate)
        self.add(
            "SaveVideo",
            (x, y + 160),
            size=TALL,
            video=video[0],
            filename_prefix=f"motion_inversion/{name}",
            format="auto",
            codec="auto",
        )

    def report(self, reference: Node, frames: Node) -> Node:
        return self.add(
            "MotionInversionReport", (1960, 140), size=(340, 240), reference=reference[0], generated=frames[0]
        )


OBJECT = PRESETS["object"]
RED_CIRCLE = "a red circle on a grey plain background"
BLUE_STAR = "a blue star on a beige plain background"


def quickstart() -> Graph:
    graph = Parts("1_quickstart")
    model = graph.load()
    clip = graph.reference(model, "figure_eight.mp4")
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, RED_CIRCLE, "object")
    applied = graph.add(
        "MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=trained[0], strength=1.0
    )
    frames = graph.sample_mixed(model, applied, graph.inverted(model, latent), BLUE_STAR, OBJECT.noise_weight)
    graph.save(frames, 0, (2340, 0), "quickstart")
    graph.save(graph.report(clip, frames), 0, (2340, 640), "quickstart_tracks")
    graph.note((0, -420), (720, 380))
    return graph


def shared() -> Graph:
    graph = Parts("2_use_a_shared_embedding")
    model = graph.load()
    embedding = graph.add(
        "MotionInversionLoadEmbedding", (380, 0), size=(360, 320), name="figure_eight.safetensors", model=model[MODEL]
    )
    applied = graph.add(
        "MotionInversionApply", (780, 0), model=model[MODEL], motion_embedding=embedding[0], strength=1.0
    )
    texts = (
        graph.prompt(model, BLUE_STAR, (780, 160), "What the video should show"),
        graph.prompt(model, "", (780, 320), "Negative prompt"),
    )
    empty = graph.empty((780, 480))
    frames = graph.sample(model, applied, texts, empty, 0)
    graph.save(frames, 0, (1800, 0), "shared")
    graph.note((0, -340), (720, 300))
    return graph


def camera() -> Graph:
    graph = Parts("3_camera_motion")
    model = graph.load()
    clip = graph.reference(model, "camera_pan.mp4")
    path = graph.add("MotionInversionCameraMotion", (380, 320), size=(340, 140), images=clip[0])
    applied = graph.add(
        "MotionInversionApplyCameraMotion",
        (760, 0),
        size=(340, 220),
        model=model[MODEL],
        camera_motion=path[0],
        amount=1.0,
        strength=1.0,
    )
    empty = graph.empty((380, 520))
    noise = graph.add(
        "MotionInversionCameraNoise",
        (760, 320),
        size=(340, 260),
        model=model[MODEL],
        camera_motion=path[0],
        latent=empty[0],
        noise_seed=2,
        amount=1.0,
    )
    frames = graph.sample_from(noise, empty, model, applied, "a red heart on a brown checkered background")
    graph.save(frames, 0, (2340, 0), "camera")
    graph.save(graph.report(clip, frames), 0, (2340, 640), "camera_tracks")
    graph.note((0, -460), (720, 420))
    return graph


def strengths() -> Graph:
    graph = Parts("4_compare_strengths")
    model = graph.load()
    clip = graph.reference(model, "figure_eight.mp4")
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, RED_CIRCLE, "object")
    texts = (
        graph.prompt(model, BLUE_STAR, (760, -180), "What the video should show"),
        graph.prompt(model, "", (760, 40), "Negative prompt"),
    )
    empty = graph.empty((760, 720))
    grid: Node = clip
    for row, strength in enumerate((0.0, 0.5, 1.0)):
        applied = graph.add(
            "MotionInversionApplyAdvanced",
            (1180, row * 780),
            f"Strength {strength}",
            (320, 240),
            model=model[MODEL],
            motion_embedding=trained[0],
            strength_qk=strength,
            strength_v=strength,
            debias=OBJECT.debias,
            start_percent=OBJECT.start,
            end_percent=OBJECT.end,
        )
        frames = graph.sample(model, applied, texts, empty, row * 780 + 280)
        grid = graph.add("ImageStitch", (1800, row * 780 + 280), image1=grid[0], image2=frames[0], direction="right")
    graph.save(grid, 0, (2180, 0), "strengths")
    graph.note((0, -320), (680, 260))
    return graph


def zeroscope() -> Graph:
    graph = Parts("5_zeroscope_512x320")
    size, frames_wanted, steps = (512, 320), 16, 40
    model = graph.load("zeroscope_v2_576w")
    clip = graph.reference(model, "figure_eight.mp4", frames_wanted, size)
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, "a red ball on a grey background", "object")
    applied = graph.add(
        "MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=trained[0], strength=1.0
    )
    frames = graph.sample_mixed(
        model,
        applied,
        graph.inverted(model, latent, steps),
        "a hot air balloon over green hills, bright morning",
        OBJECT.noise_weight,
        steps,
        9.0,
        frames_wanted,
        size,
        "ddim_uniform",
    )
    graph.save(frames, 0, (2340, 0), "zeroscope")
    graph.note((0, -400), (720, 360))
    return graph


def noise_only() -> Graph:
    graph = Parts("6_noise_only_baseline")
    model = graph.load()
    clip = graph.reference(model, "figure_eight.mp4")
    latent = graph.encode(model, clip)
    frames = graph.sample_mixed(model, model, graph.inverted(model, latent), BLUE_STAR, OBJECT.noise_weight)
    graph.save(frames, 0, (2340, 0), "noise_only")
    graph.save(graph.report(clip, frames), 0, (2340, 640), "noise_only_tracks")
    graph.note((0, -280), (680, 220))
    return graph


def mirrored() -> Graph:
    graph = Parts("7_mirror_and_reverse")
    model = graph.load()
    embedding = graph.add(
        "MotionInversionLoadEmbedding", (380, 0), size=(360, 320), name="figure_eight.safetensors", model=model[MODEL]
    )
    texts = (
        graph.prompt(model, BLUE_STAR, (380, 380), "What the video should show"),
        graph.prompt(model, "", (380, 540), "Negative prompt"),
    )
    empty = graph.empty((380, 700))
    rows: list[Node] = []
    for row, (title, changes) in enumerate(
        {"As learned": {}, "Mirrored": {"mirror": "horizontal"}, "Reversed": {"reverse": True}}.items()
    ):
        edited = graph.add(
            "MotionInversionEditEmbedding", (780, row * 780), title, motion_embedding=embedding[0], **changes
        )
        applied = graph.add(
            "MotionInversionApply", (780, row * 780 + 320), model=model[MODEL], motion_embedding=edited[0], strength=1.0
        )
        rows.append(graph.sample(model, applied, texts, empty, row * 780))
    grid = rows[0]
    for row, frames in enumerate(rows[1:]):
        grid = graph.add("ImageStitch", (1800, row * 320), image1=grid[0], image2=frames[0], direction="right")
    graph.save(grid, 0, (2180, 0), "mirror_and_reverse")
    graph.note((0, -320), (680, 260))
    return graph


GRAPHS = [quickstart(), shared(), camera(), strengths(), zeroscope(), noise_only(), mirrored()]
