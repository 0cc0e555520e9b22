"""The example workflows and the subgraphs, described once; `build.py` writes them."""

from __future__ import annotations

import small_wan
import wan
from graph import Graph, Node
from parts import CLIP, FRAMES, GUIDANCE, MODEL, PIXELS, RATE, STEPS, VAE, Parts

from motion_lib.training.presets import PRESETS

OBJECT = PRESETS["object"].application
RED_CIRCLE = "a red circle on a grey plain background"
BLUE_STAR = "a blue star on a beige plain background"


def learn() -> Parts:
    """The subgraph from a clip to its motion."""
    graph = Parts(
        "Learn a Motion",
        100,
        "Learns the motion of a clip as a small motion embedding, with a model from Load Motion Video Model. The "
        "result is kept on disk and reused as long as the inputs stay the same.",
        ("motion inversion", "train motion embedding", "motion transfer"),
    )
    model = graph.given("model", "clip", "vae")
    video = graph.given("video")
    text = graph.value("description", RED_CIRCLE)
    preset, steps, seed = graph.value("preset", "object"), graph.value("steps", 0), graph.value("seed", 0)
    frames, width = graph.value("frames", FRAMES), graph.value("width", PIXELS[0])
    clip = graph.prepare(video, frames, width, graph.value("height", PIXELS[1]))
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, text, preset, steps, seed)
    graph.outputs |= {
        "motion_embedding": trained[0],
        "reference_latent": latent[0],
        "reference_frames": clip[0],
        "frame_rate": clip[1],
    }
    return graph


def follow() -> Parts:
    """The subgraph from a motion to a new video. Its empty latent is nothing times the reference's, which has the right
    size."""
    graph = Parts(
        "Video with this Motion",
        200,
        "Makes a new video that moves as the reference does. The motion embedding and the reference's latent come from "
        "Learn a Motion.",
        ("motion inversion", "apply motion embedding", "motion transfer"),
    )
    model = graph.given("model", "clip", "vae")
    (embedding,) = graph.given("motion_embedding")
    latent = graph.given("reference_latent")
    text, negative = graph.value("prompt", BLUE_STAR), graph.value("negative_prompt", "")
    strength, weight = graph.value("strength", 1.0), graph.value("noise_weight", OBJECT.noise_weight)
    seed, steps = graph.value("noise_seed", 1), graph.value("steps", STEPS)
    guidance, scheduler = graph.value("guidance", GUIDANCE), graph.value("scheduler", "simple")
    rate = graph.value("frame_rate", RATE)
    applied = graph.add(
        "MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=embedding, strength=strength
    )
    noise = graph.mixed(model, graph.inverted(model, latent, steps), weight, seed)
    empty = graph.add("LatentMultiply", (1580, 480), "Empty, of the same size", samples=latent[0], multiplier=0.0)
    frames = graph.sample_from(noise, empty, model, applied, text, steps, guidance, scheduler, negative)
    video = graph.add("CreateVideo", (1960, 140), images=frames[0], fps=rate)
    graph.outputs |= {"video": video[0], "frames": frames[0]}
    return graph


SUBGRAPHS = [learn(), follow()]


def quickstart() -> Graph:
    graph = Parts("1_quickstart")
    model = graph.load()
    source = graph.add("MotionInversionSampleClip", (0, 200), clip="figure_eight.mp4")
    loaded = {"model": model[MODEL], "clip": model[CLIP], "vae": model[VAE]}
    learned = graph.add(SUBGRAPHS[0], (380, 0), size=(360, 420), **loaded, video=source[0])
    made = graph.add(
        SUBGRAPHS[1],
        (800, 0),
        size=(360, 520),
        **loaded,
        motion_embedding=learned[0],
        reference_latent=learned[1],
        frame_rate=learned[3],
    )
    graph.save(made, 0, (1220, 0), "quickstart")
    report = graph.report(learned[2], made[1], (1220, 510))
    graph.save_frames(report, (1620, 0), "quickstart_tracks")
    graph.note((0, 360), (340, 420))
    return graph


def every_step() -> Graph:
    graph = Parts("1b_every_step")
    model = graph.load()
    clip = graph.reference("figure_eight.mp4")
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, RED_CIRCLE, "object")
    applied = graph.add(
        "MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=trained[0], strength=1.0
    )
    noise = graph.mixed(model, graph.inverted(model, latent), OBJECT.noise_weight)
    frames = graph.sample_from(noise, graph.empty((1580, 480)), model, applied, BLUE_STAR)
    graph.save_frames(frames, (2340, 0), "every_step")
    graph.save_frames(graph.report(clip[0], frames[0]), (2340, 640), "every_step_tracks")
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
    graph.save_frames(frames, (1800, 0), "shared")
    graph.note((0, -340), (720, 300))
    return graph


def camera() -> Graph:
    graph = Parts("3_camera_motion")
    model = graph.load()
    clip = graph.reference("camera_pan.mp4")
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
    graph.save_frames(frames, (2340, 0), "camera")
    graph.save_frames(graph.report(clip[0], frames[0]), (2340, 640), "camera_tracks")
    graph.note((0, -460), (720, 420))
    return graph


def strengths() -> Graph:
    graph = Parts("4_compare_strengths")
    model = graph.load()
    clip = graph.reference("figure_eight.mp4")
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
    graph.save_frames(grid, (2180, 0), "strengths")
    graph.note((0, -320), (680, 260))
    return graph


def zeroscope() -> Graph:
    graph = Parts("5_zeroscope_512x320")
    size, frames_wanted, steps = (512, 320), 16, 40
    model = graph.load("zeroscope_v2_576w")
    clip = graph.reference("figure_eight.mp4", frames_wanted, size)
    latent = graph.encode(model, clip)
    trained = graph.train(model, clip, latent, "a red ball on a grey background", "object")
    applied = graph.add(
        "MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=trained[0], strength=1.0
    )
    noise = graph.mixed(model, graph.inverted(model, latent, steps), OBJECT.noise_weight)
    wanted = "a hot air balloon over green hills, bright morning"
    empty = graph.empty((1580, 480), frames_wanted, size)
    frames = graph.sample_from(noise, empty, model, applied, wanted, steps, 9.0, "ddim_uniform")
    graph.save_frames(frames, (2340, 0), "zeroscope")
    graph.note((0, -400), (720, 360))
    return graph


def noise_only() -> Graph:
    graph = Parts("6_noise_only_baseline")
    model = graph.load()
    clip = graph.reference("figure_eight.mp4")
    latent = graph.encode(model, clip)
    noise = graph.mixed(model, graph.inverted(model, latent), OBJECT.noise_weight)
    frames = graph.sample_from(noise, graph.empty((1580, 480)), model, model, BLUE_STAR)
    graph.save_frames(frames, (2340, 0), "noise_only")
    graph.save_frames(graph.report(clip[0], frames[0]), (2340, 640), "noise_only_tracks")
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
    graph.save_frames(grid, (2180, 0), "mirror_and_reverse")
    graph.note((0, -320), (680, 260))
    return graph


def from_images() -> Graph:
    graph = Parts("13_video_from_an_image_model")
    model = graph.load("sprite_image")
    empty = graph.empty((0, 160))
    noise = graph.add(
        "MotionInversionFrameNoise",
        (380, 240),
        size=(340, 260),
        model=model[MODEL],
        latent=empty[0],
        prior="dependency",
        similarity=0.994,
        noise_seed=1,
    )
    looking = graph.add("MotionInversionMomentumAttention", (380, 0), model=model[MODEL], momentum=0.98)
    frames = graph.sample_from(noise, empty, model, looking, "a red heart on a navy plain background")
    graph.save_frames(frames, (2340, 0), "from_images")
    graph.note((0, -460), (720, 420))
    return graph


def one_pass() -> Graph:
    graph = Parts("14_read_a_motion_in_one_pass")
    model = graph.load()
    clip = graph.reference("figure_eight.mp4")
    latent = graph.encode(model, clip)
    read = graph.add(
        "MotionInversionReadMotion", (760, 200), size=(360, 380), images=clip[0], preset="object", model=model[MODEL]
    )
    applied = graph.add("MotionInversionApply", (1180, 320), model=model[MODEL], motion_embedding=read[0], strength=1.0)
    noise = graph.mixed(model, graph.inverted(model, latent), OBJECT.noise_weight)
    frames = graph.sample_from(noise, graph.empty((1580, 480)), model, applied, BLUE_STAR)
    graph.save_frames(frames, (2340, 0), "one_pass")
    graph.save_frames(graph.report(clip[0], frames[0]), (2340, 640), "one_pass_tracks")
    graph.note((0, -420), (720, 380))
    return graph


GRAPHS = [
    quickstart(),
    every_step(),
    shared(),
    camera(),
    strengths(),
    zeroscope(),
    noise_only(),
    mirrored(),
    *small_wan.GRAPHS,
    *wan.GRAPHS,
    from_images(),
    one_pass(),
]
