"""Motions read in one pass, and found among files."""

from __future__ import annotations

import shutil

import torch
from comfy_process import largest, model, pack

NODES = "nodes.codes"


def clip(name: str) -> torch.Tensor:
    return pack("motion_lib.video").read_clip(pack("nodes.host.folders").SAMPLES / f"{name}.mp4").frames.float() / 255


def read(*arguments, **named):
    with torch.inference_mode():  # as the executor does
        return pack(NODES).ReadMotion.execute(*arguments, **named).args


def refusal(call) -> str:
    try:
        call()
    except Exception as error:  # the executor would show this sentence
        return f"{type(error).__name__}: {error}"
    return ""


def motion_is_read() -> dict:
    library = pack("motion_lib.codes.from_clip")
    frames = clip("figure_eight")
    embedding, camera, report = read(frames, "auto", model=model()[0])
    expected, _ = library.embedding_of(library.reader_of(None), (frames * 255).round().to(torch.uint8), "images")
    crossed, path, _ = read(frames, "auto", clip("camera_pan"))
    pan = read(clip("camera_pan"), "auto")
    tensors = {key: largest(t, expected.tensors[key]) for key, t in embedding.tensors.items()}
    bent = applied_to_model(embedding)
    return {
        "difference": max(tensors.values()),
        "preset": [each.origin.preset for each in (embedding, pan[0], crossed)],
        "object_kept": crossed.origin.reading["object"] == embedding.origin.reading["object"],
        "camera_taken": crossed.origin.reading["camera"] == pan[0].origin.reading["camera"],
        "camera": largest(torch.tensor(path.rows()), torch.tensor(pan[1].rows())),
        "still": float(torch.tensor(camera.rows())[:, :2].abs().max()),
        "moves": float(torch.tensor(path.rows())[-1, :2].norm()),
        "patches": bent,
        "held": type(applied_camera(path)).__name__,
        "report": report.splitlines(),
        "one_frame": refusal(lambda: read(frames[:1], "auto")),
    }


def clip_is_redrawn() -> dict:
    """By stock nodes, from the tenth of noise that the library uses: a clip in a foreign look under a moving camera."""
    import nodes

    case = pack("motion_lib.benchmark.cases").foreign_case("eight_and_pan", 1, look=4)
    patcher, clip, vae = model()
    nothing = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    with torch.inference_mode():
        (latent,) = nodes.VAEEncode().encode(vae, case.frames.float() / 255)
        (drawn,) = nodes.KSampler().sample(patcher, 0, 2, 1.0, "ddim", "simple", nothing, nothing, latent, denoise=0.1)
        (images,) = nodes.VAEDecode().decode(vae, drawn)
    reader, correlation = pack("motion_lib.codes.from_clip").reader_of(None), pack("motion_lib.metrics.paths")
    readings = [reader.read(each) for each in (case.frames, (images * 255).round().clamp(0, 255).to(torch.uint8))]
    truth = case.truth.position[0]
    return {
        "paths": [correlation.path_correlation(each.path, truth) for each in readings],
        "familiar": [each.familiar for each in readings],
        "by_the_node": read(case.frames.float() / 255, "auto")[2].splitlines(),
    }


def applied_to_model(embedding) -> int:
    patched = pack("nodes.apply").ApplyMotionEmbedding.execute(model()[0], embedding, 1.0)[0]
    key = pack("nodes.host.patch").KEY
    return len(patched.model_options["transformer_options"]["patches"][key])


def applied_camera(path):
    with torch.inference_mode():
        return pack("nodes.camera").ApplyCameraMotion.execute(model()[0], path, 1.0, 1.0)[0]


def motion_is_found() -> dict:
    folders, save = pack("nodes.host.folders"), pack("motion_lib.files.embedding_file").save_embedding
    find = pack(NODES).FindMotion
    home = folders.new_embedding_path("found/x.safetensors").parent
    home.mkdir(parents=True, exist_ok=True)
    eight, pan = read(clip("figure_eight"), "auto")[0], read(clip("camera_pan"), "auto")[0]
    save(home / "eight.safetensors", eight)
    save(home / "pan.safetensors", pan)
    (home / "broken.safetensors").write_bytes(b"nothing")
    before = find.fingerprint_inputs()
    found = {
        "like_pan": find.execute("", "both", 1, pan).args[0].origin.source == pan.origin.source,
        "words": find.execute("camera pans right", "both", 1).args[1].splitlines()[0],
        "object": find.execute("", "object", 1, eight).args[1].splitlines()[0],
        "neither": refusal(lambda: find.execute("", "both", 1)),
        "both": refusal(lambda: find.execute("hops", "both", 1, eight)),
        "beyond": refusal(lambda: find.execute("camera pans", "both", 9)),
        "unknown": refusal(lambda: find.execute("xyzzy", "both", 1)),
    }
    save(home / "more.safetensors", pan)
    found["looks_again"] = find.fingerprint_inputs() != before
    shutil.rmtree(home)
    return found
