"""Motion embeddings on a MODEL of Wan from the stock loaders: the same data in `transformer_options` as on a MODEL of
our own, read before every call and turned into ComfyUI's replacements of its blocks for that call alone.

A block's modulation shifts the input of its self-attention; there m_qk is added, one row for each latent frame, so that
q, k and v see it. The value embedding goes to v by the override of attention, which adds Wv(m_v − m_qk) to the first
attention of the block. Both are exact, because v is neither normalised nor rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CellType, FunctionType
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.ldm.wan.model import WanModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...motion_lib.backbones.accelerate.recompute import computed_again
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import Backbone, stack
from ...motion_lib.method.patch import PreparedPatch
from .patch import KEY, Call, patches_for

ATTENTION = "optimized_attention_override"  # in transformer_options, the host's word
RECOMPUTE = "motion_recompute"  # in transformer_options while learning: blocks run again in the backward pass
Replacement = Callable[[dict, dict], dict]
SUMS = ("add", "concatenate")  # integrations whose motions are added to the features


def is_wan(model: ModelPatcher) -> bool:
    """Whether a MODEL is a plain Wan, and none of the variants that take more than text and a first frame."""
    return type(getattr(model.model, "diffusion_model", None)) is WanModel


def backbone_of(model: ModelPatcher) -> Backbone:
    wan: Any = model.model.diffusion_model
    return stack("wan", wan.dim, len(wan.blocks))


def let_patches_act(options: dict) -> dict:
    """transformer_options in which their patches act on a Wan. The reader goes with the patches, and not with the
    MODEL, so that they act from a hook of a conditioning too; the given options are left as they are."""
    wrappers = dict(options.get("wrappers", {}))
    around = dict(wrappers.get(WrappersMP.APPLY_MODEL, {}))
    around[KEY] = [act]
    return {**options, "wrappers": {**wrappers, WrappersMP.APPLY_MODEL: around}}


def act(
    executor: Any,
    x: Tensor,
    t: Tensor,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: dict | None = None,
    **kwargs: Any,
) -> Tensor:
    """Around the call of a Wan: latents `[b, c, f, h, w]`, noise levels `[b]`. The call goes on without the patches
    that have been read here, since a MODEL and a hook may each bring a reader."""
    options, model = transformer_options or {}, executor.class_obj
    shift = getattr(model.model_sampling, "shift", 1.0)  # a node may have changed how the MODEL is sampled
    even = t / (shift - (shift - 1) * t)  # levels as the steps of a run are spaced: 1 − progress
    call = Call.of(x, even, 1, options, window_dim=2)
    patches = patches_for(call, options)
    if patches:
        options = with_replacements(options, patches, model.diffusion_model.blocks, call.frames)
    if KEY in options.get("patches", {}):
        options = {**options, "patches": {name: other for name, other in options["patches"].items() if name != KEY}}
    return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


def with_replacements(options: dict, patches: Sequence[PreparedPatch], blocks: Any, frames: int) -> dict:
    """transformer_options in which patches for this many latent frames act on the blocks; the given ones stay as they
    are. Raises MotionError for what cannot act here."""
    for patch in patches:
        _check(patch)
    replaced = dict(options.get("patches_replace", {}))
    dit, moved = dict(replaced.get("dit", {})), False
    for i, block in enumerate(blocks):
        site, place = f"blocks.{i}", ("double_block", i)
        query_key = _sum([patch.query_key.get(site) for patch in patches])
        value = _sum([patch.value.get((site, "attn1")) for patch in patches])
        if query_key is not None or value is not None:
            dit[place] = _moved(block.self_attn.v, query_key, value, frames, dit.get(place))
            moved = True
        if moved and options.get(RECOMPUTE):
            dit[place] = _run_again(dit.get(place))
    return {**options, "patches_replace": {**replaced, "dit": dit}}


def _check(patch: PreparedPatch) -> None:
    if patch.integration not in SUMS:
        raise MotionError(
            f"The motion embedding joins the features by {patch.integration}, which cannot be done on Wan in ComfyUI: "
            f"learn it with the integration add or concatenate."
        )
    if any(len(m) > 1 for m in patch.query_key.values()):
        raise MotionError(
            "The query-key embedding has spatial axes, which cannot act on Wan in ComfyUI: learn it with qk_axes none."
        )


def while_learning(recompute: bool) -> dict[str, Any]:
    """transformer_options for calls with a gradient. recompute: blocks from the first with a motion on run again in the
    backward pass."""
    return {ATTENTION: _with_gradient, RECOMPUTE: recompute}


def _with_gradient(compute: Callable[..., Tensor], *given: Any, **named: Any) -> Tensor:
    """An override of attention while learning: PyTorch's in place of one that the user or the host chose, which may
    have no gradient."""
    return attention_pytorch(*given, **named)


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    """`[n, f, c]` of those that there are, of which some may be the same for all places."""
    there = [part for part in parts if part is not None]
    total = there[0] if there else None
    for part in there[1:]:
        total = total + part
    return total


def _moved(
    to_v: Callable[[Tensor], Tensor],
    query_key: Tensor | None,
    value: Tensor | None,
    frames: int,
    inner: Replacement | None,
) -> Replacement:
    """A replacement of a block; inner: the one that was there before, which goes on computing the block."""

    def replacement(args: dict, extra: dict) -> dict:
        x: Tensor = args["img"]
        if x.shape[1] % frames:
            raise MotionError(
                "Motion embeddings cannot act where Wan sees more than the video, such as reference latents: leave "
                "those out."
            )
        given, at = dict(args), {"device": x.device, "dtype": x.dtype}
        m_v = 0 if value is None else value.to(**at)
        if query_key is not None:
            m_qk = query_key.to(**at)
            given["vec"] = _shifted(args["vec"], m_qk)
            m_v = m_v - m_qk
        options = dict(args["transformer_options"])
        options[ATTENTION] = _with_values(to_v, _over_tokens(m_v, x.shape[1] // frames), options.get(ATTENTION))
        given["transformer_options"] = options
        return extra["original_block"](given) if inner is None else inner(given, extra)

    return replacement


def _run_again(inner: Replacement | None) -> Replacement:
    """A replacement that keeps only the block's input for the backward pass."""

    def replacement(args: dict, extra: dict) -> dict:
        # As they are now: the host goes on to change both.
        given = {**args, "transformer_options": dict(args["transformer_options"])}
        block = _as_it_is_now(extra["original_block"])

        def run(x: Tensor) -> Tensor:
            now = {**given, "img": x}
            return (block(now) if inner is None else inner(now, {**extra, "original_block": block}))["img"]

        return {"img": computed_again(run, args["img"])}

    return replacement


def _as_it_is_now(function: Any) -> Any:
    """A copy of a function made in a loop, with what the loop's variables hold now. The host's runs a block by the name
    of the variable, which is another block when the backward pass asks for it."""
    cells = tuple(CellType(cell.cell_contents) for cell in function.__closure__)
    return FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)


def _shifted(vec: Tensor, m_qk: Tensor) -> Tensor:
    """The modulation `[b, 1 or f, 6, c]`, or `[b, 6, c]` of older versions, with a row `[1, f, c]` of each frame in its
    shift of the self-attention's input."""
    if vec.ndim == 3:
        vec = vec.unsqueeze(1)
    shifted = vec.expand(-1, m_qk.shape[1], -1, -1).clone()
    shifted[:, :, 0] += m_qk
    return shifted


def _over_tokens(m: Tensor, places: int) -> Tensor:
    """`[1, f·n, c]` of `[n or 1, f, c]`."""
    return m.expand(places, -1, -1).transpose(0, 1).flatten(0, 1)[None]


def _with_values(
    to_v: Callable[[Tensor], Tensor], m: Tensor, other: Callable[..., Tensor] | None
) -> Callable[..., Tensor]:
    """An override of attention that adds Wv·m to the values of the first attention that it sees, the block's
    self-attention. other: the override that was there before."""
    first = True

    def attention(compute: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, *rest: Any, **named: Any) -> Tensor:
        nonlocal first
        if first:
            first = False
            moved = to_v(m.to(v.dtype)) - to_v(torch.zeros_like(m[:, :1], dtype=v.dtype))  # without the bias
            v = v + moved.reshape(1, *v.shape[1:])
        return compute(q, k, v, *rest, **named) if other is None else other(compute, q, k, v, *rest, **named)

    return attention
