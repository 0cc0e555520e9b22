"""Building the parts of a model from their files: offline, whole or not at all, and without a word to the terminal.

Nothing here knows how to ask the network: classes are built from the known fields of a configuration that was read
here, and filled with tensors that were read here.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import MotionError, shown
from .folder import Part, name_today

RANDOM = ("normal_", "uniform_", "trunc_normal_")  # methods of tensors with which classes draw their first weights
CALLS = 50  # of PyTorch while a class is built, for every tensor that it has; real ones need about ten
META = torch.device("meta")


@contextmanager
def explained(folder: Path, part: str = "") -> Iterator[None]:
    """Whatever a stranger's files make PyTorch, diffusers, transformers or tokenizers raise becomes one MotionError.

    They raise anything, from KeyError over AssertionError to their own kinds, so this is the one place that catches
    everything.
    """
    try:
        yield
    except MotionError:
        raise
    except Exception as error:
        reason = shown(" ".join(str(error).split()) or type(error).__name__, 300).rstrip(".")
        where = f"{part}: " if part else ""
        raise MotionError(
            f"The model in {shown(str(folder))} could not be loaded: {where}{reason}. "
            f"Get its files again, or use another model."
        ) from error


def diffusers_model(kind: Any, part: Part, dtype: torch.dtype, device: torch.device) -> Any:
    """The frozen model of a class of diffusers; see `filled`."""
    fields = model_fields(kind, part)
    return filled(lambda: kind(**fields), part, dtype, device)


def model_fields(kind: Any, part: Part) -> dict[str, Any]:
    """Every field of a class of diffusers: what a part says, or what the class takes where it says nothing."""
    _expect(part.config, "_class_name", kind.__name__)
    known = list(inspect.signature(kind.__init__).parameters.values())[1:]
    usual = {field.name: field.default for field in known if field.default is not field.empty}
    return usual | part.fields(field.name for field in known)


def _expect(config: Mapping[str, Any], field: str, kind: str) -> None:
    if (found := config.get(field, kind)) != kind:
        raise ValueError(f"config.json describes {shown(found, 80)}, but supported is {kind}")


def text_kind(part: Part) -> str:
    """The kind of a text encoder: clip_text_model, or umt5. Raises ValueError for another."""
    kind = part.config.get("model_type", "clip_text_model")
    if kind not in ("clip_text_model", "umt5"):
        raise ValueError(f"config.json describes {shown(kind, 80)}, but supported are clip_text_model and umt5")
    return kind


def text_encoder(part: Part, dtype: torch.dtype, device: torch.device) -> Any:
    """The frozen text encoder of a part, of CLIP or UMT5; see `filled`."""
    if text_kind(part) == "umt5":
        return _umt5(part, dtype, device)
    from transformers import CLIPTextModel

    config = text_config(part)
    return filled(lambda: CLIPTextModel(config), part, dtype, device)


UMT5_FIELDS = (
    "vocab_size d_model d_kv d_ff num_layers num_heads relative_attention_num_buckets relative_attention_max_distance "
    "layer_norm_epsilon feed_forward_proj pad_token_id eos_token_id"
).split()


def _umt5(part: Part, dtype: torch.dtype, device: torch.device) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(**part.fields(UMT5_FIELDS))
    part = replace(part, rename=_umt5_name)
    return filled(lambda: UMT5EncoderModel(config).encoder, part, dtype, device)


def _umt5_name(name: str) -> str:
    """The table of words has two names, and files have one of them or both."""
    return "embed_tokens.weight" if name == "shared.weight" else name.removeprefix("encoder.")


LAYERS = (
    "hidden_size intermediate_size projection_dim num_hidden_layers num_attention_heads hidden_act layer_norm_eps"
).split()
TEXT_FIELDS = (*LAYERS, "vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
ATTENTION: dict[str, Any] = {"attn_implementation": "sdpa"}  # PyTorch's own
VISION_FIELDS = (*LAYERS, "image_size", "patch_size", "num_channels")


def text_config(part: Part) -> Any:
    """transformers' CLIPTextConfig of a part."""
    from transformers import CLIPTextConfig

    _expect(part.config, "model_type", CLIPTextConfig.model_type)
    return CLIPTextConfig(**part.fields(TEXT_FIELDS), **ATTENTION)


def clip_model(part: Part, device: torch.device) -> Any:
    """The frozen CLIP of a part, with both its halves; see `filled`."""
    from transformers import CLIPConfig, CLIPModel

    _expect(part.config, "model_type", CLIPConfig.model_type)
    # The second of each is of early versions of transformers, and counts where both say something.
    text = part.fields(TEXT_FIELDS, "text_config") | part.fields(TEXT_FIELDS, "text_config_dict")
    vision = part.fields(VISION_FIELDS, "vision_config") | part.fields(VISION_FIELDS, "vision_config_dict")
    config = CLIPConfig(text_config=text, vision_config=vision, **part.fields(["projection_dim"]), **ATTENTION)
    return filled(lambda: CLIPModel(config), part, torch.float32, device)


def filled(build: Callable[[], Any], part: Part, dtype: torch.dtype, device: torch.device) -> Any:
    """What `build` makes, frozen and in evaluation mode, with the weights of a part in it; on the meta device without
    data, but with every shape compared with the files'.

    Raises ValueError when weights that the model needs are not in the files or have another shape. No memory is taken
    before that is known.
    """
    shapes = part.shapes()
    with META, _Blueprint(len(shapes)):
        model = build()
    names = {name_today(name): name for name in model.state_dict()}
    wanted = {name_today(name): tensor.shape for name, tensor in model.state_dict().items()}
    if missing := sorted(wanted.keys() - shapes.keys()):
        raise ValueError(f"the weights lack {len(missing)} tensors, the first is {missing[0]}")
    if wrong := sorted(name for name, shape in wanted.items() if shapes[name] != shape):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} tensors have another shape than the configuration says, the first is {first} with "
            f"{list(shapes[first])} instead of {list(wanted[first])}"
        )
    if device != META:
        with torch.device("cpu"), _Blueprint(len(shapes)):
            model = build()  # its buffers are computed, and its weights are memory that nothing touches
        loaded = {}
        for name, tensor in part.tensors():
            if name in names:
                if not tensor.is_floating_point():
                    raise ValueError(f"{name} holds {tensor.dtype}, which are no weights")
                loaded[names[name]] = tensor.to(device, dtype, copy=True).contiguous()
        model.load_state_dict(loaded, assign=True)
    return nn.Module.to(model.requires_grad_(False).eval(), device)  # what is left are buffers


class _Blueprint(TorchFunctionMode):
    """While models are built, nobody draws first weights. Raises ValueError when a configuration describes far more
    layers than its weights have tensors: without that, a number of layers in the millions would be built for hours."""

    def __init__(self, tensors: int):
        super().__init__()
        self.tensors, self.calls = tensors, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:  # the end of a no_grad block, which must not be kept from ending
            return func(*args)
        self.calls += 1
        if self.calls > CALLS * (self.tensors + 20):
            raise ValueError(f"config.json describes more layers than the {self.tensors} tensors of its weights")
        if getattr(func, "__module__", None) == nn.init.__name__ or getattr(func, "__name__", None) in RANDOM:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars and advice that diffusers and transformers print while loading; errors still show."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    try:
        for library in libraries:
            library.set_verbosity(logging.ERROR)
            library.disable_progress_bar()
        yield
    finally:
        for library, (verbosity, bar) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bar:
                library.enable_progress_bar()
