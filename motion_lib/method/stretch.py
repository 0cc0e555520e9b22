"""How far an embedding can be stretched. It resamples to any length and size, but far from those that it was learned
at, a model may not follow it (docs/edits.md)."""

from __future__ import annotations

from .embedding import MotionEmbedding

FACTOR = 2  # in either direction, of frames and of each side of the grid


def far_from_learned(embedding: MotionEmbedding, frames: int, latent_size: tuple[int, int]) -> str | None:
    """One sentence when a video of this many frames and this latent size (height, width) is far from those that the
    motion was learned on, else None."""
    found = []
    if _far(frames, embedding.frames):
        found.append(f"{frames} frames instead of {embedding.frames}")
    for layer, (h, w) in embedding.grids.items():
        new_h, new_w = embedding.backbone[layer].grid(latent_size)
        if _far(new_h, h) or _far(new_w, w):
            found.append(f"a picture of {new_w / w:.2g} times the width and {new_h / h:.2g} times the height")
            break
    if not found:
        return None
    return f"This is far from what the motion was learned on ({' and '.join(found)}): expect it to follow less closely."


def _far(value: int, learned: int) -> bool:
    return not learned <= value * FACTOR <= FACTOR * FACTOR * learned
