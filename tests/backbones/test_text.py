"""Prompts to text embeddings: the same as transformers' and diffusers', offline, whatever a folder says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPTextConfig, CLIPTextModel, UMT5Config, UMT5EncoderModel

from motion_lib.backbones.folder import Part
from motion_lib.backbones.layout import STEMS
from motion_lib.backbones.loading import META
from motion_lib.backbones.t5_tokens import load_t5_tokenizer
from motion_lib.backbones.text import ClipText, Umt5Text, load_text, tokenizer_of
from motion_lib.bundled.models import BUNDLED
from motion_lib.errors import MotionError

CPU = torch.device("cpu")
PROMPTS = ["A red star flies in a circle.", "", "zwölf  Ⅷ ﬁsh\n  swim", "an unknown 鱼 and </s>", "word " * 700]


def build_tokenizer(folder: Path) -> Path:
    """In the layout of UMT5's, with pieces learned from a few sentences."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.Unigram())
    rules: list[Any] = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(rules)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(["a red star flies", "zwölf fish swim in a circle", "a word"] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    build_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    config = UMT5Config(vocab_size=100, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    UMT5EncoderModel(config).eval().save_pretrained(folder / "text_encoder")
    return folder


def opened(folder: Path) -> Part:
    return Part.open(folder / "text_encoder", STEMS["text_encoder"])


def changed(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_umt5_gives_what_the_pipeline_of_wan_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline_wan: Any = pytest.importorskip("diffusers.pipelines.wan.pipeline_wan")
    monkeypatch.setattr(pipeline_wan, "prompt_clean", pipeline_wan.whitespace_clean)  # the rest needs ftfy
    part = opened(folder)
    text = load_text(part, tokenizer_of(part, folder / "tokenizer"), torch.float32, CPU)
    assert isinstance(text, Umt5Text)
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval()
    pipeline: Any = SimpleNamespace(text_encoder=encoder, tokenizer=text.tokenizer, _execution_device=CPU)
    with torch.no_grad():
        expected = pipeline_wan.WanPipeline._get_t5_prompt_embeds(pipeline, PROMPTS, max_sequence_length=512)
    found = text.encode(PROMPTS)
    assert found.shape == (len(PROMPTS), 512, 16)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[1, 1:], torch.zeros(511, 16)) and found[1, 0].abs().min() > 0
    assert found[-1].abs().amin(dim=-1).max() > 0


def test_a_table_of_words_has_two_names(folder: Path, tmp_path: Path) -> None:
    part = opened(folder)
    expected = load_text(part, tokenizer_of(part, folder / "tokenizer"), torch.float32, CPU).encode(PROMPTS[:1])
    tensors = {k: v for file in part.files for k, v in load_file(file).items()}
    words = next(tensors.pop(k) for k in ("shared.weight", "encoder.embed_tokens.weight") if k in tensors)
    (tmp_path / "config.json").write_text((folder / "text_encoder" / "config.json").read_text())
    for names in (["shared.weight"], ["encoder.embed_tokens.weight"], ["shared.weight", "encoder.embed_tokens.weight"]):
        save_file(tensors | {name: words.clone() for name in names}, tmp_path / "model.safetensors")
        other = Part.open(tmp_path, STEMS["text_encoder"])
        text = load_text(other, tokenizer_of(other, folder / "tokenizer"), torch.float32, CPU)
        assert torch.equal(text.encode(PROMPTS[:1]), expected)


def test_tokens_are_those_of_the_file(folder: Path) -> None:
    theirs = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    ours = load_t5_tokenizer(folder / "tokenizer")
    assert ours(PROMPTS).input_ids == [theirs.encode(text).ids for text in PROMPTS]
    assert ours("red").input_ids[-1] == 1


def test_umt5_without_data(folder: Path) -> None:
    part = opened(folder)
    text = load_text(part, tokenizer_of(part, folder / "tokenizer"), torch.float32, META)
    found = text.encode(["a"])
    assert (found.shape, found.device) == ((1, 512, 16), META)


def test_umt5_in_half_precision(folder: Path) -> None:
    part = opened(folder)
    tokenizer = tokenizer_of(part, folder / "tokenizer")
    half, full = (load_text(part, tokenizer, dtype, CPU).encode(PROMPTS) for dtype in (torch.bfloat16, torch.float32))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)


def test_clip_gives_what_it_gave(tmp_path: Path) -> None:
    tokenizer_folder = BUNDLED["sprite_t2v"][0] / "tokenizer"
    config = CLIPTextConfig(
        vocab_size=700, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = CLIPTextModel(config).eval()
    model.save_pretrained(tmp_path / "text_encoder")
    part = opened(tmp_path)
    text = load_text(part, tokenizer_of(part, tokenizer_folder), torch.float32, CPU)
    assert isinstance(text, ClipText)
    length = text.tokenizer.model_max_length
    ids = text.tokenizer(PROMPTS, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(text.encode(PROMPTS), model(ids.input_ids)[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_type": "t5"}, "describes t5, but supported are clip_text_model and umt5"),
        ({"model_type": ["umt5"]}, "but supported are clip_text_model and umt5"),
        ({"vocab_size": 50}, "tensors have another shape"),
        ({"num_layers": 10**8}, "describes more layers"),
        ({"feed_forward_proj": "gated-evil"}, "evil"),
    ],
)
def test_other_encoders_are_refused(folder: Path, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    path = tmp_path / "config.json"
    path.write_text((folder / "text_encoder" / "config.json").read_text())
    part = opened(folder)
    part = Part(tmp_path, json.loads(changed(path, **fields).read_text()), part.files)
    with pytest.raises((ValueError, KeyError), match=words):
        load_text(part, load_t5_tokenizer(folder / "tokenizer"), torch.float32, META)


def test_words_that_the_encoder_lacks(folder: Path) -> None:
    part = opened(folder)
    tokenizer = load_t5_tokenizer(folder / "tokenizer")
    tokenizer.add_tokens([f"new{i}" for i in range(100)])
    with pytest.raises(ValueError, match="vocab_size is 100, but the tokenizer has a word with number"):
        load_text(part, tokenizer, torch.float32, META)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"vocab": {"a": 0}}, "holds no vocabulary with scores"),
        ({"type": "BPE"}, "holds no vocabulary with scores"),
        ({"vocab": [["<pad>", 0.0], ["</s>", "0"]]}, "each with a finite score"),
        ({"vocab": [["<pad>", 0.0], ["</s>", float("nan")]]}, "each with a finite score"),
        ({"vocab": [["<pad>", 0.0], ["", 0.0]]}, "each with a finite score"),
        ({"vocab": [["<pad>", 0.0], ["</s>"]]}, "each with a finite score"),
        ({"vocab": [["<pad>", 0.0], ["<unk>", 0.0]], "unk_id": 1}, "lacks the special token </s>"),
        ({"vocab": [["<pad>", 0.0], ["</s>", 0.0]], "unk_id": 2}, "unk_id should be the number of one of the 2"),
        ({"unk_id": None}, "unk_id should be"),
        ({"vocab": [["<pad>", 0.0], ["</s>", 0.0], *([f"x{i}", -1.0] for i in range(2**18))]}, "at most 262144 pieces"),
    ],
)
def test_other_tokenizers_are_refused(folder: Path, tmp_path: Path, model: dict[str, Any], words: str) -> None:
    content = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    content["model"] |= model
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(MotionError, match=words):
        load_t5_tokenizer(tmp_path)


def test_a_file_of_sentencepiece_alone_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"\0")
    with pytest.raises(MotionError, match=r"in spiece.model alone, which is not read: add the tokenizer.json"):
        load_t5_tokenizer(tmp_path)


def test_what_a_tokenizer_prescribes_is_not_obeyed(folder: Path, tmp_path: Path) -> None:
    """A table of characters that would end the program, and a regular expression that would never end."""
    content = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "CAAAAP//////////YWJj"}
    content["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": False}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    expected = load_t5_tokenizer(folder / "tokenizer")(PROMPTS).input_ids
    assert load_t5_tokenizer(tmp_path)(PROMPTS).input_ids == expected
