"""What decides what is learned. Two runs that agree in it learn the same, and one may carry on the other or stand for
it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..method.embedding import MAP, MotionEmbedding
from .settings import TrainingSettings

# Details that every version records where there is something to record.
ALWAYS = ("clip_sha256", "mask_sha256", "prompt", "model", "preset", "scored_by")
# Details that older files may lack, whatever they were learned with.
SINCE = ("model_sha256", *(field.name for field in fields(TrainingSettings)))
NAMES = {
    "clip_sha256": "clip",
    "mask_sha256": "mask",
    "model_sha256": "model's weights",
    "scored_by": "prompts of --keep-best",
}
PARTS = ("unet", "vae", "text_encoder")
BLOCKS, BLOCK = 1024, 256  # of a file of weights, spread evenly, and bytes


def recorded(settings: TrainingSettings, model: Path) -> dict[str, Any]:
    """The details SINCE, for a model folder."""
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(settings).items()}
    return {**values, "model_sha256": model_hash(model)}


def model_hash(folder: Path) -> str:
    """SHA-256 of the sizes of a model folder's weights and of samples from all over them, and of its noise schedule:
    another training of the same model differs nearly everywhere, and all of a large one takes longer to read than to
    load."""
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((folder / part).glob("*.safetensors")) or sorted((folder / part).glob("*.bin")):
            size = path.stat().st_size
            digest.update(f"{part}/{path.name} {size} ".encode())
            with path.open("rb") as file:
                for i in range(BLOCKS):
                    file.seek(i * size // BLOCKS)
                    digest.update(file.read(BLOCK))
    digest.update((folder / "scheduler" / "scheduler_config.json").read_bytes())
    return digest.hexdigest()


def identity(embedding: MotionEmbedding) -> dict[str, Any]:
    """By field, as far as an embedding and its details say it. sites are the layers themselves, since words such as
    `coarse` mean other ones in other models and sizes."""
    kinds = {key.removesuffix(MAP).rpartition(".")[2] for key in embedding.tensors}
    found: dict[str, Any] = {"sites": sorted(embedding.layers), "components": sorted(kinds)}
    found |= {name: getattr(embedding, name) for name in ("integration", "qk_axes", "v_axes")}
    found |= {name: embedding.details.get(name) for name in ALWAYS}
    return found | {name: embedding.details[name] for name in SINCE if name in embedding.details}


def difference(before: MotionEmbedding, now: MotionEmbedding) -> str | None:
    """The first field in which two embeddings were learned differently, in words, or None. What a file is too old to
    have recorded is not compared."""
    a, b = identity(before), identity(now)
    field = next((name for name in b if name in a and a[name] != b[name]), None)
    return None if field is None else NAMES.get(field, field)
