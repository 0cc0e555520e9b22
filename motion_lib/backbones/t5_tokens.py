"""The tokenizer of T5 and UMT5 out of a stranger's folder: its pieces of words with their scores, and nothing else that
tokenizer.json prescribes, for the reasons in tokens.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..errors import MotionError
from .folder import LARGEST_VOCABULARY, read_json

MOST_PIECES = 2**18  # UMT5 has 256,384, and four times as many take gigabytes
PADDING, END = "<pad>", "</s>"


def load_t5_tokenizer(folder: Path) -> Any:
    """What gives the tokens of transformers' T5TokenizerFast.

    A table of characters to be replaced, as SentencePiece compiles it, is not taken out of the file, for a wrong one
    ends the whole program: the rules that it is compiled from are built into tokenizers. T5's own table differs from
    them in 3 rare ones of 145,885 characters.
    Raises MotionError for a file that is missing, cannot be read or holds another kind of tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    if not path.is_file() and (folder / "spiece.model").is_file():
        raise MotionError(
            f"{folder} has its words in spiece.model alone, which is not read: add the tokenizer.json that "
            f"transformers' AutoTokenizer saves."
        )
    content = read_json(path, LARGEST_VOCABULARY)
    pieces, unknown, by_bytes = _pieces(content.get("model"), path)
    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    if missing := [token for token in (PADDING, END) if token not in numbers]:
        raise MotionError(f"{path}: the vocabulary lacks the special token {missing[0]}.")
    tokenizer = Tokenizer(models.Unigram(pieces, unknown, by_bytes))
    if content.get("normalizer"):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, numbers[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PADDING, eos_token=END, unk_token=pieces[unknown][0]
    )


def _pieces(model: Any, path: Path) -> tuple[list[tuple[str, float]], int, bool]:
    """Pieces of words with their scores, the number of the unknown one, and whether bytes are spelled instead of it."""
    pieces = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(pieces, list) or model.get("type", "Unigram") != "Unigram":
        raise MotionError(f"{path} holds no vocabulary with scores: a tokenizer of T5's kind is needed.")
    if len(pieces) > MOST_PIECES or not all(_is_piece(piece) for piece in pieces):
        raise MotionError(f"{path} should hold at most {MOST_PIECES} pieces of words, each with a finite score.")
    unknown = model.get("unk_id")
    if type(unknown) is not int or not 0 <= unknown < len(pieces):
        raise MotionError(f"{path}: unk_id should be the number of one of the {len(pieces)} pieces.")
    return [(piece, float(score)) for piece, score in pieces], unknown, bool(model.get("byte_fallback"))


def _is_piece(piece: Any) -> bool:
    if not isinstance(piece, list) or len(piece) != 2:
        return False
    text, score = piece
    return isinstance(text, str) and bool(text) and type(score) in (int, float) and math.isfinite(score)
