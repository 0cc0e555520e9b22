"""Nodes that change embeddings, noise and strengths do what the library does, and nothing by default."""

from __future__ import annotations

import torch
from comfy_process import clip_pixels, embedding, inputs, largest, model, pack, prediction


def apart(first, second) -> float:
    """The largest difference of two embeddings of equal tensors."""
    assert first.tensors.keys() == second.tensors.keys()
    return max(largest(tensor, second.tensors[key]) for key, tensor in first.tensors.items())


def edits_equal_library() -> dict:
    algebra, edit = pack("motion_lib.method.algebra"), pack("nodes.edit").EditMotionEmbedding
    motion, region = embedding(8), torch.zeros(1, 32, 32)
    region[:, :, 16:] = 1
    changed = algebra.retime(algebra.reverse(algebra.mirror(motion, "horizontal")), 0.5)
    changed = algebra.masked(algebra.scale(algebra.loop(changed, "close"), 0.7), region[0])
    found = edit.execute(motion, "horizontal", True, 0.5, "close", 0.7, region)[0]
    noise = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    turned = edit.execute(motion, "horizontal", True, 1.0, "none", 1.0, None, {"samples": noise})
    again = edit.execute(turned[0], "horizontal", True, 1.0, "none", 1.0, None, turned[1])
    mask = torch.zeros(1, 20, 20)
    mask[:, 10:, 10:] = 1  # about .75, .75
    frames = torch.full((8, 20, 20, 3), 0.4)
    for i in range(8):
        frames[i, 4:8, 2 * i : 2 * i + 4] = 0.9  # about .1, .3 in the first
    moved = edit.execute(motion, "none", False, 1.0, "none", 1.0, right=0.1, object_mask=mask, clip=frames)[0]
    begin = pack("motion_lib.video.place").Place.of_moving((frames * 255).round().to(torch.uint8))
    by_hand = pack("motion_lib.method.placement").placed(algebra.place(motion, 0.1), (0.75, 0.75), begin)
    return {
        "moved": apart(moved, by_hand),
        "moved_at_all": apart(moved, motion),
        "noise": largest(turned[1]["samples"], noise.flip(0, 3)),
        "noise_back": largest(again[1]["samples"], noise),
        "history": [edit.name for edit in again[0].origin.made_from],
        "difference": apart(found, changed),
        "effect": apart(edit.execute(motion, "vertical", False, 1.0, "none", 1.0)[0], motion),
        "by_default": apart(edit.execute(motion, "none", False, 1.0, "none", 1.0)[0], motion),
    }


def combinations_equal_library() -> dict:
    joining, combine = pack("motion_lib.method.joining"), pack("nodes.edit").CombineMotionEmbeddings
    first, second = embedding(8), embedding(12, 0.2)
    expected = {
        "blend": joining.blend(first, second, 0.3),
        "add": joining.add(first, second),
        "subtract": joining.subtract(first, second),
        "A, then B": joining.chain(first, second),
        "query-key of A, value of B": joining.combine(first, second),
    }
    found = {name: combine.execute(first, second, name, 0.3)[0] for name in pack("nodes.edit").METHODS}
    return {name: apart(found[name], expected[name]) for name in found} | {"tested": sorted(expected)}


def curves_equal_library() -> dict:
    node, kind = pack("nodes.apply"), pack("motion_lib.method.patch").MotionPatch
    x, context = inputs()
    given = (model()[0], embedding(), 1.0, 1.0, "vanilla", 0.0, 1.0)
    curved = node.ApplyMotionEmbeddingAdvanced.execute(*given, "", "0:1, 1:0", "0:0, 1:2")[0]
    patch = kind(embedding(), curve=((0.0, 1.0), (1.0, 0.0)), frame_curve=((0.0, 0.0), (1.0, 2.0)))
    plain = node.ApplyMotionEmbeddingAdvanced.execute(*given)[0]
    expected = prediction(node.patched(model()[0], patch), x, 400, context)
    found = prediction(curved, x, 400, context)
    return {"difference": largest(found, expected), "effect": largest(found, prediction(plain, x, 400, context))}


def noises_equal_library() -> dict:
    node, library = pack("nodes.noise").MixInversionNoise, pack("motion_lib.diffusion.noise")
    inverted = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    video = inverted.movedim(0, 1)[None]
    import comfy.sample

    fresh = comfy.sample.prepare_noise(torch.zeros_like(inverted), 5, None).movedim(0, 1)[None]
    found = {}
    for name in library.START_NOISES:
        for renormalise in (False, True):
            noise, _, report = node.execute(model()[0], {"samples": inverted}, 0.6, 5, name, renormalise).args
            made = noise.generate_noise({"samples": torch.zeros_like(inverted)})
            expected = library.mix(video, fresh, 0.6, name, renormalise)
            found[f"{name} {renormalise}"] = largest(made.movedim(0, 1)[None], expected)
            assert str(library.statistics(expected)) in report, report
    return found


def report_of_leak_and_prompt() -> dict:
    node = pack("nodes.report").MotionReport
    frames = clip_pixels().repeat_interleave(4, dim=0)
    other = 1 - frames
    same = node.execute(frames, frames, other, "a red circle on a grey plain background")[1]
    none = node.execute(frames, other, other, "a red circle on a grey plain background")[1]
    return {"same": same, "none": none, "plain": node.execute(frames, frames)[1]}
