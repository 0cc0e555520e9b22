"""Checks that need tensors rather than files: run by ComfyUI's own Python inside ComfyUI, one check per function.

    python inside.py COMFYUI_FOLDER BASE_FOLDER CHECK...

Prints one line of JSON with the numbers that each check measured; what they must be is said in test_inside.py.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from pathlib import Path

host, base, *CHECKS = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--base-directory", base]
sys.path.insert(0, host)
os.chdir(host)

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import torch  # noqa: E402
import utils.extra_config  # noqa: E402,F401  before `nodes`, which hides the package of that name

PACK = Path(__file__).resolve().parents[2]


def start() -> tuple[str, float]:
    """Load ComfyUI's core nodes, then the pack; its module name and the seconds it took."""
    import server  # isort: skip
    import nodes  # isort: skip

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    began = time.perf_counter()
    loaded = loop.run_until_complete(nodes.load_custom_node(str(PACK), module_parent="custom_nodes"))
    took = time.perf_counter() - began
    if not loaded:
        raise SystemExit("ComfyUI could not load the pack")
    name = next(n for n, m in sys.modules.items() if getattr(m, "__file__", "") == str(PACK / "__init__.py"))
    return name, took


NAME, IMPORT_SECONDS = start()


def pack(module: str):
    return importlib.import_module(f"{NAME}.{module}")


def latents(frames: int = 8) -> torch.Tensor:
    """A clip's latents as ComfyUI keeps them."""
    torch.manual_seed(3)
    return torch.randn(frames, 4, 16, 16) / 0.18215


_loaded: list = []


def model():
    if not _loaded:
        folder = pack("nodes.host.folders").video_models()["sprite_t2v"]
        with torch.inference_mode():  # as the executor does
            _loaded.append(pack("nodes.host.model").load_model(folder))
    return _loaded[0]


def library():
    return pack("motion_lib.backbones").load_model("sprite_t2v")


def prediction(patcher, x, t, context, patches=()):
    denoiser = pack("nodes.host.denoiser").ModelDenoiser(patcher)
    with torch.no_grad():
        return denoiser(x, torch.tensor([t]), context, patches)


def embedding(frames: int = 8, scale: float = 0.5):
    """Random values at every layer."""
    backbone = model()[0].model.diffusion_model.backbone
    zeros = pack("motion_lib.embedding").MotionEmbedding.zeros(backbone, "all", frames, (16, 16))
    generator = torch.Generator().manual_seed(5)
    tensors = {k: scale * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    return zeros.with_tensors(tensors)


def largest(a, b) -> float:
    return float((a - b).abs().max())


def inputs(frames: int = 8):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, frames, 16, 16, generator=generator)
    return x, library().encode_prompt(["a red star on a grey plain background"])


def import_time() -> dict:
    return {"seconds": IMPORT_SECONDS, "diffusers": "diffusers" in sys.modules, "cv2": "cv2" in sys.modules}


def prediction_equals_library() -> dict:
    x, context = inputs()
    reference = library().denoiser
    found = {}
    for t in (0, 250, 500, 999):
        with torch.no_grad():
            expected = reference(x, torch.tensor([t]), context)
        found[str(t)] = largest(prediction(model()[0], x, t, context), expected)
    return found


def patched_equals_library() -> dict:
    x, context = inputs()
    patch = pack("motion_lib.patch").MotionPatch(embedding(), 0.7, 1.3, debias="difference")
    ready = patch.prepare(8, (16, 16), "cpu", torch.float32)
    with torch.no_grad():
        expected = library().denoiser(x, torch.tensor([500]), context, [ready])
        plain = library().denoiser(x, torch.tensor([500]), context)
    applied = pack("nodes.apply").patched(model()[0], patch)
    return {
        "difference": largest(prediction(applied, x, 500, context), expected),
        "effect": largest(expected, plain),
    }


def text_equals_library() -> dict:
    clip = model()[1]
    prompts = ["", "a red star on a grey plain background", "blue circle, navy dotted background"]
    expected = library().encode_prompt(prompts)
    found = torch.cat([clip.encode_from_tokens(clip.tokenize(prompt)) for prompt in prompts])
    return {"difference": largest(found, expected)}


def images_equal_library() -> dict:
    vae, reference = model()[2], library()
    generator = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 256, (2, 128, 128, 3), generator=generator, dtype=torch.uint8)
    scale = reference.vae.config.scaling_factor
    expected = reference.encode_video(frames)[0].movedim(0, 1) / scale
    encoded = vae.encode(frames.float() / 255)
    decoded = vae.decode(encoded)
    shown = reference.decode_video((encoded * scale).movedim(0, 1)[None])
    return {"encode": largest(encoded, expected), "decode": largest(decoded * 255, shown.float())}


def main() -> None:
    found = {}
    for check in CHECKS:
        began = time.perf_counter()
        found[check] = globals()[check]() | {"took": round(time.perf_counter() - began, 2)}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
