"""What decides what is learned. Two runs that agree in it learn the same, and one may carry on the other or stand for
it: a checkpoint, a file that `train` finds in a folder, or a result that ComfyUI's node has kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..method.embedding import MAP, MotionEmbedding
from .settings import TrainingSettings

NAMES = {
    "clip_sha256": "clip",
    "latents": "clip",
    "weights": "model's weights",
    "mask_sha256": "mask",
    "model_sha256": "model's weights",
    "scored_by": "prompts of --keep-best",
    "started_from": "start (--start-from-codes)",
}
PARTS = ("unet", "transformer", "transformer_2", "vae", "text_encoder")
FILES = ("diffusion_models/", "")  # where denoisers lie that have a file of their own
BLOCKS, BLOCK = 1024, 256  # of a file of weights, spread evenly, and bytes


def model_hash(folder: Path) -> str:
    """SHA-256 of the sizes of a model folder's weights and of samples from all over them, of its noise schedule
    and, of two experts, of the boundary between them: another training of the same model differs nearly everywhere, and
    all of a large one takes longer to read than to load."""
    digest = hashlib.sha256()
    folders = [(f"{part}/", folder / part) for part in PARTS]
    alone = not any((folder / part).is_dir() for part in PARTS[:2])  # denoiser and autoencoder in files of their own
    for prefix, place in [*folders, *((name, folder / name) for name in FILES)] if alone else folders:
        for path in sorted(place.glob("*.safetensors")) or sorted(place.glob("*.bin")):
            size = path.stat().st_size
            digest.update(f"{prefix}{path.name} {size} ".encode())
            with path.open("rb") as file:
                for i in range(BLOCKS):
                    file.seek(i * size // BLOCKS)
                    digest.update(file.read(BLOCK))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    digest.update(scheduler.read_bytes() if scheduler.is_file() else b"")
    index = folder / "model_index.json"  # which says where one of two experts hands over to the other
    if index.is_file() and (alone or (folder / "transformer_2").is_dir()):
        digest.update(index.read_bytes())
    return digest.hexdigest()


def identity(embedding: MotionEmbedding, by_inputs: bool) -> dict[str, Any]:
    """By field, as far as an embedding and its origin say it. sites are the layers themselves, since words such as
    `coarse` mean other ones in other models and sizes.

    by_inputs: what was learned from is told by the hashes of what came into ComfyUI's node, which need not know the
    clip's frames; otherwise by clip, mask, text and model.
    """
    origin = embedding.origin
    kinds = {key.removesuffix(MAP).rpartition(".")[2] for key in embedding.tensors}
    found: dict[str, Any] = {"sites": sorted(embedding.layers), "components": sorted(kinds)}
    found |= {name: getattr(embedding, name) for name in ("integration", "qk_axes", "v_axes")}
    found |= {"preset": origin.preset, "scored_by": list(origin.scored_by), "started_from": origin.started_from}
    if by_inputs:
        found |= origin.input_hashes
    else:
        found |= {name: getattr(origin, name) for name in ("clip_sha256", "mask_sha256", "prompt", "model")}
        found |= {"model_sha256": origin.model_sha256} if origin.model_sha256 else {}
    return found | dict(origin.settings)


def difference(before: MotionEmbedding, now: MotionEmbedding) -> str | None:
    """The first field in which two embeddings were learned differently, in words, or None. What a file is too old to
    have recorded is not compared."""
    by_inputs = bool(now.origin.input_hashes)
    a, b = identity(before, by_inputs), identity(now, by_inputs)
    field = next((name for name in b if name in a and a[name] != b[name]), None)
    return None if field is None else NAMES.get(field, field)


def identity_hash(embedding: MotionEmbedding) -> str:
    """SHA-256 of the identity, to name results by. Settings that have their usual value are left out, so that a setting
    which a later version adds changes no name."""
    usual = json.loads(json.dumps({entry.name: entry.default for entry in fields(TrainingSettings)}))
    decisive = identity(embedding, bool(embedding.origin.input_hashes))
    found = {name: value for name, value in decisive.items() if usual.get(name) != value}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
