"""Real checkpoints: every way in which ModelScope and ZeroScope folders are stored, and every way to be wrong."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from motion_lib import backbones
from motion_lib.backbones import load_model
from motion_lib.diffusion.sampling import random_noise, sample
from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.backbones.folders import MODELS, PICKLES, WEIGHTS, build

PARTS = ("unet", "vae", "text_encoder")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "zeroscope")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "zeroscope"))


def sharded(folder: Path, part: str) -> None:
    model = MODELS[part]
    (folder / part / WEIGHTS[part]).unlink()
    model.save_pretrained(folder / part, max_shard_size="20KB")
    assert len(list((folder / part).glob("*-of-*.safetensors"))) > 1
    assert list((folder / part).glob("*.index.json"))


def fp16_only(folder: Path, part: str) -> None:
    model = deepcopy(MODELS[part]).half()
    (folder / part / WEIGHTS[part]).unlink()
    model.save_pretrained(folder / part, variant="fp16")
    assert [f.name for f in (folder / part).glob("*.safetensors")] == [WEIGHTS[part].replace(".s", ".fp16.s")]


def fp16_sharded(folder: Path, part: str) -> None:
    model = deepcopy(MODELS[part]).half()
    (folder / part / WEIGHTS[part]).unlink()
    model.save_pretrained(folder / part, variant="fp16", max_shard_size="6KB")
    assert len(list((folder / part).glob("*fp16*.safetensors"))) > 1


def pickled(folder: Path, part: str) -> None:
    torch.save(load_file(folder / part / WEIGHTS[part]), folder / part / PICKLES[part])
    (folder / part / WEIGHTS[part]).unlink()


def both_precisions(folder: Path, part: str) -> None:
    deepcopy(MODELS[part]).half().save_pretrained(folder / part, variant="fp16")


def safetensors_beside_a_pickle(folder: Path, part: str) -> None:
    """The pickle is older: full of zeros here, so that reading it would show."""
    weights = load_file(folder / part / WEIGHTS[part])
    torch.save({k: torch.zeros_like(v) for k, v in weights.items()}, folder / part / PICKLES[part])


def fp16_beside_a_pickle(folder: Path, part: str) -> None:
    safetensors_beside_a_pickle(folder, part)
    fp16_only(folder, part)


def plain(folder: Path, part: str) -> None:
    pass


STORED = [
    plain,
    sharded,
    fp16_only,
    fp16_sharded,
    pickled,
    both_precisions,
    safetensors_beside_a_pickle,
    fp16_beside_a_pickle,
]


def weights_of(model, part: str) -> dict[str, torch.Tensor]:
    module = {"unet": model.denoiser.unet, "vae": model.codec.vae, "text_encoder": model.text.model}[part]
    return module.state_dict()


@pytest.mark.parametrize("store", STORED)
def test_weights_arrive_whatever_the_storage(original: Path, folder: Path, store: Callable[[Path, str], None]) -> None:
    for part in PARTS:
        store(folder, part)
    model = load_model(folder)
    for part in PARTS:
        expected, found = load_file(original / part / WEIGHTS[part]), weights_of(model, part)
        halved = store in (fp16_only, fp16_sharded, fp16_beside_a_pickle)
        # transformers before version 5 keeps the text model under one more name
        found = {k if k in expected else k.removeprefix("text_model."): v for k, v in found.items()}
        assert len(expected) > 10
        for key, value in expected.items():
            assert torch.equal(found[key], value.half().float() if halved else value), (part, key)


def test_every_part_stored_differently(folder: Path) -> None:
    sharded(folder, "unet")
    pickled(folder, "vae")
    fp16_only(folder, "text_encoder")
    assert load_model(folder, dtype=torch.bfloat16).denoiser.unet.dtype == torch.bfloat16


def test_one_training_step_and_two_of_sampling(original: Path) -> None:
    model = load_model(original)
    assert model.name == "zeroscope" and model.codec.pixels_per_latent == 2
    assert len(model.denoiser.backbone.select("all")) == 15 and len(model.denoiser.backbone.select("deep")) == 5
    frames = (torch.rand(3, 20, 28, 3) * 255).to(torch.uint8)
    latents, words = model.encode_video(frames), model.encode_prompt(["a red star"])
    assert latents.shape == model.latent_shape(3, 28, 20) == (1, 4, 3, 10, 14) and words.shape == (1, 32, 8)
    zeros = MotionEmbedding.zeros(model.denoiser.backbone, "all", 3, (10, 14))
    state = TrainingState.start(zeros, TrainingSettings(steps=1), model.device)
    (state,) = train(model.denoiser, latents, words, state)
    assert all(t.abs().max() > 0 for t in state.embedding.tensors.values())
    noise, empty = random_noise(latents.shape, 0), model.encode_prompt([""])
    options = {"unconditional": empty, "guidance": 3.0, "steps": 2}
    without = sample(model.denoiser, noise, words, **options)
    moved = sample(model.denoiser, noise, words, patches=[MotionPatch(state.embedding)], **options)
    assert not torch.allclose(without, moved)
    video = model.decode_video(moved)
    assert video.shape == (3, 20, 28, 3) and video.dtype == torch.uint8


def test_video_in_parts_is_the_same_as_whole(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = load_model(original), (torch.rand(5, 8, 8, 3) * 255).to(torch.uint8)
    monkeypatch.setattr("motion_lib.backbones.codec.CHUNK", 5)
    whole = model.encode_video(frames)
    pictures = model.decode_video(whole).int()
    monkeypatch.setattr("motion_lib.backbones.codec.CHUNK", 2)
    torch.testing.assert_close(model.encode_video(frames), whole)
    difference = model.decode_video(whole).int() - pictures
    assert difference.abs().max() <= 1
    with pytest.raises(MotionError, match=r"size 9x8 does not suit zeroscope: .* multiples of 2"):
        model.latent_shape(5, 9, 8)


class Attack:
    """Unpickling this would write a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("part", PARTS)
def test_a_pickle_that_wants_to_run_code_is_refused(folder: Path, tmp_path: Path, part: str) -> None:
    pickled(folder, part)
    torch.save({"weight": Attack(tmp_path / "owned")}, folder / part / PICKLES[part])
    with pytest.raises(MotionError, match="zeroscope could not be loaded"):
        load_model(folder)
    assert not (tmp_path / "owned").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish" * 99)


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 50) + b"{}")


def lacking(path: Path) -> None:
    weights = load_file(path)
    weights.pop(sorted(weights)[3])
    save_file(weights, path, {"format": "pt"})


def wrong_shape(path: Path) -> None:
    weights = load_file(path)
    key = sorted(weights)[3]
    weights[key] = torch.zeros(*weights[key].shape, 2)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("damage", [cut, rubbish, huge_header, lacking, wrong_shape])
@pytest.mark.parametrize("part", PARTS)
def test_damaged_weights(folder: Path, part: str, damage: Callable[[Path], None]) -> None:
    damage(folder / part / WEIGHTS[part])
    with pytest.raises(MotionError, match=r"^The model in .*zeroscope could not be loaded: .") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ("unet", "unet/config.json, unet/ weights"),
        ("unet/diffusion_pytorch_model.safetensors", "unet/ weights"),
        ("vae", "vae/config.json, vae/ weights"),
        ("text_encoder/model.safetensors", "text_encoder/ weights"),
        ("tokenizer/vocab.json", "tokenizer/vocab.json"),
        ("tokenizer", "tokenizer/vocab.json, tokenizer/merges.txt"),
        ("scheduler", "scheduler/scheduler_config.json"),
    ],
)
def test_incomplete_folders_name_what_is_missing(folder: Path, gone: str, missing: str) -> None:
    shutil.rmtree(folder / gone) if (folder / gone).is_dir() else (folder / gone).unlink()
    with pytest.raises(MotionError, match=f"is not a text-to-video model in diffusers layout: missing {missing}\\.$"):
        load_model(folder)


def test_a_tokenizer_in_one_file(folder: Path) -> None:
    before = load_model(folder).encode_prompt(["a red star, 2"])
    tokenizer = load_model(folder).text.tokenizer
    shutil.rmtree(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "tokenizer")
    assert torch.equal(load_model(folder).encode_prompt(["a red star, 2"]), before)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"There is no model folder .*nothing: .*sprite_t2v"):
        load_model(tmp_path / "nothing")
    with pytest.raises(MotionError, match=r"missing unet/config.json, vae/config.json, .* text_encoder/ weights"):
        load_model(tmp_path)


def test_an_unknown_class(folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "_class_name": "UNet2DConditionModel"}))
    with pytest.raises(
        MotionError, match="describes a UNet2DConditionModel, but only these are supported: UNet3DConditionModel"
    ):
        load_model(folder)


@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json", "vae/config.json"])
@pytest.mark.parametrize("text", ["{broken", "[1]"])
def test_broken_configurations(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(MotionError, match="zeroscope"):
        load_model(folder)


def test_loading_is_quiet_and_leaves_the_settings_of_others_alone(folder: Path, capfd, caplog) -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for part in PARTS:
        sharded(folder, part)
    libraries = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    capfd.readouterr()
    with caplog.at_level(logging.DEBUG):
        load_model(folder)
        with pytest.raises(MotionError):
            load_model(folder / "unet")
    assert [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries] == before
    out, err = capfd.readouterr()
    assert out == "" and err == ""


def test_a_model_is_tried_once_and_again_when_anything_about_it_is_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(backbones, "_TRIED", set())
    run = backbones.run_without_data

    def counted(model, parts) -> None:
        tried.append(parts.folder)
        run(model, parts)

    monkeypatch.setattr(backbones, "run_without_data", counted)
    for _ in range(2):
        load_model(folder)
    assert len(tried) == 1
    words = folder / "tokenizer" / "vocab.json"
    words.write_text(words.read_text() + "\n")
    load_model(folder)
    assert len(tried) == 2
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"layers_per_block": 3}))
    for _ in range(2):  # what was refused is not remembered as tried
        with pytest.raises(MotionError, match="unet: the weights lack"):
            load_model(folder)


def test_a_file_that_no_tokenizer_needs_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large, watched = folder / "tokenizer" / "large.bin", True
    with large.open("wb") as file:
        file.truncate(4 * 2**30)

    def refuse(event: str, given: tuple[Any, ...]) -> None:
        if watched and event == "open":
            assert str(given[0]) != str(large), "the large file was opened"

    monkeypatch.setattr(backbones, "_TRIED", set())
    sys.addaudithook(refuse)
    try:
        load_model(folder)
    finally:
        watched = False  # a hook stays for good
