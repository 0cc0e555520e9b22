"""The tokenizer: CLIP's byte-pair encoding, with merges learned from the captions of the sprite world."""

from __future__ import annotations

import json
from pathlib import Path

from ...files.atomic import replacing
from ..vocabulary import all_captions
from .design import TEXT_ENCODER, TEXT_LENGTH

CONFIG = "tokenizer_config.json"
START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path, captions: list[str] | None = None) -> None:
    """Learn the merges, from `captions` or every caption of the sprite world, and write `vocab.json`, `merges.txt` and
    the configuration of a `CLIPTokenizer`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    folder.mkdir(parents=True, exist_ok=True)
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=2, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(captions or all_captions(), trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]

    # CLIP's order: bytes, bytes at the end of a word, merges, the two special tokens.
    tokens = alphabet + [a + "</w>" for a in alphabet] + [a + b for a, b in merges] + [START, END]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    _write(folder / "vocab.json", json.dumps(vocab, ensure_ascii=False))
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges), ""]
    _write(folder / "merges.txt", "\n".join(lines))
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TEXT_LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    _write(folder / CONFIG, json.dumps(config, indent=2))  # last: where it is, the tokenizer is whole


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_tokenizer(folder: Path, captions: list[str] | None = None):
    """The tokenizer of a folder, learned first where there is none."""
    from ...backbones.tokens import load_tokenizer

    if not (folder / CONFIG).exists():
        write_tokenizer(folder, captions)
    return load_tokenizer(folder)


def tokenize(tokenizer, texts: list[str]):
    """Token ids `[n, TEXT_LENGTH]`."""
    batch = tokenizer(texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    return batch.input_ids


def new_text_encoder(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **TEXT_ENCODER,
    )
    return CLIPTextModel(config)
