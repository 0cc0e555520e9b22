"""How prompts become text embeddings: each kind of text encoder with the tokenizer that goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .folder import Part
from .loading import text_encoder, text_kind
from .t5_tokens import load_t5_tokenizer
from .tokens import check_words, load_tokenizer

WAN_TOKENS = 512  # of every prompt of Wan; longer ones are cut


class TextEncoder(Protocol):
    """A frozen model of texts and its tokenizer."""

    @property
    def model(self) -> Any: ...

    @property
    def tokenizer(self) -> Any: ...

    def encode(self, prompts: list[str]) -> Tensor:
        """Text embeddings `[n, tokens, width]` on the device of the model."""
        ...


@dataclass(frozen=True)
class ClipText:
    """CLIP's: as many tokens as it has places, all of which count."""

    tokenizer: Any
    model: Any

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> Tensor:
        longest = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        ids = self.tokenizer(
            prompts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
        ).input_ids
        return self.model(ids.to(self.model.device))[0]


@dataclass(frozen=True)
class Umt5Text:
    """UMT5's, as Wan was trained with it: 512 tokens, of which those after the end of a prompt are not attended to, and
    have embeddings of zero."""

    tokenizer: Any
    model: Any

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> Tensor:
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=WAN_TOKENS, truncation=True, return_tensors="pt"
        )
        ids, mask = (tensor.to(self.model.device) for tensor in (tokens.input_ids, tokens.attention_mask))
        # transformers looks into a mask, so that a model without data cannot have one.
        found = self.model(input_ids=ids, attention_mask=None if mask.is_meta else mask)[0]
        return found.masked_fill(mask[..., None] == 0, 0)


KINDS: dict[str, Any] = {"clip_text_model": (load_tokenizer, ClipText), "umt5": (load_t5_tokenizer, Umt5Text)}


def tokenizer_of(part: Part, folder: Path) -> Any:
    """The tokenizer in a folder, of the kind that a text encoder takes.

    Raises ValueError for a text encoder of a kind that is not supported, MotionError for a tokenizer of another kind.
    """
    load, _ = KINDS[text_kind(part)]
    return load(folder)


def load_text(part: Part, tokenizer: Any, dtype: torch.dtype, device: torch.device) -> TextEncoder:
    """The text encoder of a part with its tokenizer; on the meta device without data.

    Raises ValueError as `tokenizer_of` does, for weights that do not suit the configuration, and for words that the
    encoder does not have.
    """
    _, kind = KINDS[text_kind(part)]
    model = text_encoder(part, dtype, device)
    check_words(tokenizer, model.config.vocab_size)
    return kind(tokenizer, model)
