"""ComfyUI in this process, with the pack, the bundled model in it, and the same model of the library beside it.

Importing this starts ComfyUI from the command line's arguments COMFYUI_FOLDER and BASE_FOLDER: on the CPU, or by what
follows `--host`, which are ComfyUI's own arguments.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from pathlib import Path

FOLDER, BASE = sys.argv[1:3]
OWN = sys.argv[sys.argv.index("--host") + 1 :] if "--host" in sys.argv else ["--cpu"]
sys.argv = ["main.py", "--base-directory", BASE, *OWN]
sys.path.insert(0, FOLDER)
os.chdir(FOLDER)

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

if "--cpu" not in OWN:
    import cuda_malloc  # noqa: F401  before torch, which reads once how memory is allocated
    import main  # noqa: F401  sets up the GPU's memory as for a user

import torch  # noqa: E402
import utils.extra_config  # noqa: E402,F401  before `nodes`, which hides the package of that name

PACK = Path(__file__).resolve().parents[3]


def start() -> tuple[str, dict]:
    """Load ComfyUI's core nodes, then the pack; its module name, the seconds it took and what it imported."""
    import server  # isort: skip
    import nodes  # isort: skip

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    before = set(sys.modules)
    began = time.perf_counter()
    loaded = loop.run_until_complete(nodes.load_custom_node(str(PACK), module_parent="custom_nodes"))
    took = time.perf_counter() - began
    if not loaded:
        raise SystemExit("ComfyUI could not load the pack")
    name = next(n for n, m in sys.modules.items() if getattr(m, "__file__", "") == str(PACK / "__init__.py"))
    return name, {"seconds": took, "modules": sorted({m.split(".")[0] for m in set(sys.modules) - before})}


NAME, IMPORTED = start()


def pack(module: str):
    return importlib.import_module(f"{NAME}.{module}")


_loaded: list = []


def model():
    if not _loaded:
        folder = pack("nodes.host.folders").video_models()["sprite_t2v"]
        with torch.inference_mode():  # as the executor does
            _loaded.append(pack("nodes.host.model").load_model(folder))
    return _loaded[0]


def library():
    return pack("motion_lib.backbones").load_model("sprite_t2v")


def latents(frames: int = 8) -> torch.Tensor:
    """A clip's latents as ComfyUI keeps them."""
    torch.manual_seed(3)
    return torch.randn(frames, 4, 16, 16) / 0.18215


def embedding(frames: int = 8, scale: float = 0.5):
    """Random values at every layer."""
    backbone = model()[0].model.diffusion_model.backbone
    zeros = pack("motion_lib.method.embedding").MotionEmbedding.zeros(backbone, "all", frames, (16, 16))
    generator = torch.Generator().manual_seed(5)
    tensors = {k: scale * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    return zeros.with_tensors(tensors)


def inputs(frames: int = 8):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, frames, 16, 16, generator=generator)
    return x, library().encode_prompt(["a red star on a grey plain background"])


def clip_pixels() -> torch.Tensor:
    sprites, motions = pack("motion_lib.sprites"), pack("motion_lib.sprites.motions")
    scene = motions.reference("figure_eight", sprites.Words("circle", "red", "grey", "plain"), frames=4)
    return sprites.render(scene)[0].movedim(1, -1)


def prediction(patcher, x, t, context, patches=()):
    denoiser = pack("nodes.host.denoiser").ModelDenoiser(patcher)
    with torch.no_grad():
        return denoiser(x, torch.tensor([t]), context, patches)


def sampled(patcher, noise, steps: int = 4, cfg: float = 4.0, hooks=None) -> torch.Tensor:
    """KSampler's result in the model's own scale, `[f, c, h, w]`."""
    import comfy.sample

    clip = model()[1]
    positive, negative = (
        clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red star on a grey plain background", "")
    )
    if hooks is not None:
        positive, negative = ([[c, {**d, "hooks": hooks}] for c, d in cond] for cond in (positive, negative))
    empty = torch.zeros_like(noise)
    with torch.inference_mode():
        result = comfy.sample.sample(
            patcher, noise, steps, cfg, "ddim", "simple", positive, negative, empty, disable_pbar=True, seed=0
        )
    return patcher.model.process_latent_in(result.clone())


def largest(a, b) -> float:
    return float((a - b).abs().max())
