"""Models of Wan in folders: as diffusers saves them, and as single files beside a text encoder; learned and applied."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from safetensors.torch import save_file

from motion_lib.backbones import load_model
from motion_lib.backbones.wan.denoiser import WanDenoiser
from motion_lib.backbones.wan.tiny import tiny_transformer
from motion_lib.diffusion.conditioning import Conditioning
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.application import usual_patch
from motion_lib.training.identity import model_hash
from motion_lib.training.loop import train
from motion_lib.training.presets import STACKED, preset
from motion_lib.training.state import TrainingState
from tests.backbones.folders import FEW_LEVELS, build
from tests.backbones.test_wan_files import TEXT_DIM, randomised, transformer, weights

CLIP = (torch.rand(5, 32, 48, 3, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "unet", FEW_LEVELS)


def as_diffusers_saves_it(folder: Path, like: Path) -> Path:
    """With a text encoder of 8 channels, as `like` has it."""
    shutil.copytree(like, folder)
    for part in ("unet", "vae"):
        shutil.rmtree(folder / part)
    tiny_transformer(in_channels=16, out_channels=16).save_pretrained(folder / "transformer")
    randomised(AutoencoderKLWan(base_dim=4)).save_pretrained(folder / "vae")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(FLOW))
    return folder


def as_single_files(folder: Path, like: Path) -> Path:
    from motion_lib.sprites.recipe.wan.vae import VideoAutoencoder

    folder.mkdir()
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(like / part, folder / part)
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    from transformers import CLIPTextConfig, CLIPTextModel

    known = {"vocab_size", "max_position_embeddings", "num_hidden_layers", "num_attention_heads"}
    words = CLIPTextConfig(**{k: config[k] for k in known}, hidden_size=TEXT_DIM, intermediate_size=16)
    CLIPTextModel(words).save_pretrained(folder / "text_encoder")
    save_file(weights(transformer(36)), folder / "some_wan.safetensors")
    save_file(weights(randomised(VideoAutoencoder(4))), folder / "some_vae.safetensors")
    return folder


def test_as_diffusers_saves_it_it_learns_and_generates(folders: Path, tmp_path: Path) -> None:
    model = load_model(as_diffusers_saves_it(tmp_path / "wan", folders))
    assert model.denoiser.process == FlowMatching(1000, 3.0)
    assert [layer.block for layer in model.denoiser.backbone.layers] == ["early"] * 2 + ["middle"] * 2 + ["late"] * 2
    latents, words = model.encode_video(CLIP), model.encode_prompt(["a bar"])
    assert latents.shape == (1, 16, 2, 4, 6)
    chosen = replace(STACKED["object"], settings=replace(STACKED["object"].settings, steps=2))
    empty = chosen.empty(model.denoiser.backbone, 2, (4, 6))
    assert {key.rpartition(".attn1")[0] for key in empty.tensors} == {"blocks.2", "blocks.3"}
    state = TrainingState.start(empty, chosen.settings, "cpu")
    assert len(list(train(model.denoiser, latents, words, state))) == 2
    save_embedding(tmp_path / "m.safetensors", state.learned)
    patch = usual_patch(load_embedding(tmp_path / "m.safetensors"))
    assert (patch.end, patch.debias) == (0.4, "vanilla")
    noise = model.noise(9, 48, 32, seed=1)
    (video,) = model.generate("a robot", noise, patches=[patch], steps=2, guidance=3.0)
    assert video.shape == (9, 32, 48, 3)
    assert not torch.equal(video, model.generate("a robot", noise, steps=2, guidance=3.0)[0])
    assert model.invert(CLIP, steps=2).shape == latents.shape


def test_as_single_files_it_takes_a_first_frame(folders: Path, tmp_path: Path) -> None:
    folder = as_single_files(tmp_path / "wan", folders)
    model = load_model(folder)
    assert model.denoiser.process == FlowMatching(1000, 8.0)
    noise, words = model.noise(5, 48, 32, seed=1), model.encode_prompt(["a bar"])
    codec, at = model.codec, torch.tensor([900.0])
    given = codec.first_frame(CLIP[0].permute(2, 0, 1).float() / 127.5 - 1, 5)  # type: ignore[attr-defined]
    free = model.denoiser(noise, at, words)
    held = model.denoiser(noise, at, Conditioning(words, {"picture": given}))
    assert free.shape == held.shape == noise.shape and not torch.allclose(free, held, atol=1e-3)
    with pytest.raises(MotionError, match=r"given as \[1, 20, 2, 4, 4\], but the model takes \[1, 20, 2"):
        model.denoiser(noise, at, Conditioning(words, {"picture": given[..., :4]}))
    before = model_hash(folder)
    (folder / "some_vae.safetensors").rename(folder / "another.safetensors")
    assert model_hash(folder) != before


def test_what_a_model_of_wan_cannot_do_is_said(folders: Path, tmp_path: Path) -> None:
    folder = as_diffusers_saves_it(tmp_path / "wan", folders)
    model = load_model(folder)
    with pytest.raises(MotionError, match="which 8 is not: take 5 or 9"):
        model.latent_shape(8, 48, 32)
    with pytest.raises(MotionError, match="path cannot be followed with wan, whose latents have one frame for"):
        model.check_camera()
    with pytest.raises(MotionError, match="preset camera is not made for wan models yet: use one of object"):
        preset("camera", model.denoiser.backbone)
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(MotionError, match=r"missing text_encoder/config\.json, text_encoder/ weights"):
        load_model(folder)


def test_single_files_that_do_not_belong_together(folders: Path, tmp_path: Path) -> None:
    folder = as_single_files(tmp_path / "wan", folders)
    shutil.copy(folder / "some_wan.safetensors", folder / "low_noise.safetensors")
    with pytest.raises(MotionError, match=r"hold one transformer of Wan, or two .* but holds low_noise.*, some_wan"):
        load_model(folder)
    (folder / "low_noise.safetensors").unlink()
    (folder / "some_vae.safetensors").unlink()
    with pytest.raises(MotionError, match="hold one autoencoder of Wan, but holds none"):
        load_model(folder)


def test_a_branch_for_embeddings_of_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="embeddings of a picture"):
        WanDenoiser(tiny_transformer(image_dim=8, added_kv_proj_dim=24), FlowMatching())
