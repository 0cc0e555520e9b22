"""CLIP's tokenizer out of a stranger's folder: its words, merges and special tokens, and nothing else that it says.

transformers would follow the paths and class names in tokenizer_config.json, and obey whatever tokenizer.json
prescribes, such as a regular expression that never ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import MotionError, shown
from .folder import LARGEST_VOCABULARY, LONGEST, read_config, read_json, read_text

# CLIP's own, for tokens that neither tokenizer_config.json nor special_tokens_map.json names.
SPECIAL = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # what CLIP takes for one, before pairs are merged
MOST_WORDS = 2**20
SHORTEST = 3  # tokens of a prompt: its beginning, a word and its end


def missing_words(folder: Path) -> list[str]:
    """The files that a tokenizer's folder lacks: vocab.json and merges.txt, or the same in tokenizer.json. Of
    SentencePiece's file says the loader that it is not enough."""
    if any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        return []
    return [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]


def load_tokenizer(folder: Path) -> Any:
    """What gives the tokens of transformers' CLIPTokenizer, whichever version of it wrote the folder.

    Raises MotionError for a file that cannot be read or holds another kind of tokenizer.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = _words(folder)
    length, special = _settings(folder)
    if unknown := [token for token in special.values() if token not in vocabulary]:
        raise MotionError(f"{folder}: the vocabulary lacks the special token {shown(unknown[0], 80)}.")
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=special["unk_token"], end_of_word_suffix="</w>", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    first, last = ((special[name], vocabulary[special[name]]) for name in ("bos_token", "eos_token"))
    tokenizer.post_processor = processors.RobertaProcessing(last, first, trim_offsets=False, add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **special)


def check_words(tokenizer: Any, known: int) -> None:
    """Raises ValueError when a tokenizer has numbers of words that a text encoder of `known` words cannot look up."""
    if (last := max(tokenizer.get_vocab().values())) >= known:
        raise ValueError(f"vocab_size is {known}, but the tokenizer has a word with number {last}")


def _words(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and the merges, first of all out of the two files that hold nothing else."""
    path, lines = folder / "vocab.json", folder / "merges.txt"
    if path.is_file() and lines.is_file():
        words = read_json(path, LARGEST_VOCABULARY)
        text = read_text(lines, LARGEST_VOCABULARY).split("\n")
        pairs: Any = [line.split() for line in text if line.strip() and not line.startswith("#version")]
    else:
        path = lines = folder / "tokenizer.json"
        model = read_json(path, LARGEST_VOCABULARY).get("model")
        words, pairs = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (None, None)
        if not isinstance(words, dict) or not isinstance(pairs, list):
            raise MotionError(f"{path} holds no vocabulary with merges: a tokenizer of CLIP's kind is needed.")
        pairs = [pair.split() if isinstance(pair, str) else pair for pair in pairs]
    numbers = set(words.values()) if all(type(number) is int for number in words.values()) else set()
    # The tokenizer has a row for every number up to the highest, and stumbles over words that share one.
    if len(numbers) < len(words) or not all(0 <= number < MOST_WORDS for number in numbers):
        raise MotionError(f"{path} should give every word a whole number of its own, from 0 to {MOST_WORDS - 1}.")
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(w, str) for w in pair) for pair in pairs):
        raise MotionError(f"{lines} should hold merges of two words each.")
    return words, [(first, second) for first, second in pairs]


def _settings(folder: Path) -> tuple[int, dict[str, str]]:
    """The longest prompt in tokens, and the special tokens. special_tokens_map.json counts more than
    tokenizer_config.json, unless that is of a version of transformers that writes everything there."""
    path, older = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    config = read_config(path) if path.is_file() else {}
    length = config.get("model_max_length")
    length = 2**31 if length is None else length
    if not isinstance(length, int | float) or isinstance(length, bool) or not length >= SHORTEST:
        raise MotionError(f"{path}: model_max_length should be a whole number of at least {SHORTEST}.")
    special = SPECIAL | _special(config, path)
    if older.is_file() and "added_tokens_decoder" not in config:
        special |= _special(read_config(older), older)
    return int(min(length, 2**31)), special


def _special(config: dict[str, Any], path: Path) -> dict[str, str]:
    found = {}
    for name in SPECIAL:
        value = config.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if value is not None:
            if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
                raise MotionError(f"{path}: {name} should be a text of at most {LONGEST} characters.")
            found[name] = value
    return found
