"""Single files of Wan, in the names that ComfyUI reads: the same models, and nothing else is taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor, nn

from motion_lib.backbones.loading import META, diffusers_model, explained, model_fields
from motion_lib.backbones.wan.keys import BLOCK, TRANSFORMER, transformer_name
from motion_lib.backbones.wan.single_file import autoencoder_part, transformer_part
from motion_lib.backbones.wan_marks import is_autoencoder, is_transformer
from motion_lib.errors import MotionError
from motion_lib.sprites.recipe.wan.dit import Transformer
from motion_lib.sprites.recipe.wan.vae import VideoAutoencoder

CPU = torch.device("cpu")
TEXT_DIM = 24


def randomised(module: Any) -> Any:
    """Every weight drawn, those too that training begins with at zero."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        scale = max(1, parameter[0].numel()) ** -0.5 if parameter.ndim > 1 else 0.1
        around = 1.0 if name.endswith(("gamma", "norm_q.weight", "norm_k.weight", "norm3.weight")) else 0.0
        parameter.data = around + scale * torch.randn(parameter.shape, generator=generator)
    return module.eval().requires_grad_(False)


def transformer(channels: int) -> Any:
    model = Transformer(dim=256, ffn_dim=64, layers=2, text_dim=TEXT_DIM)
    model.patch_embedding = nn.Conv3d(channels, 256, (1, 2, 2), stride=(1, 2, 2))
    return randomised(model)


def weights(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: value.contiguous() for name, value in module.state_dict().items()}


def written(folder: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    file = folder / "wan.safetensors"
    save_file(tensors, file, metadata=metadata)
    return file


@pytest.mark.parametrize(("channels", "prefix"), [(16, ""), (36, "model.diffusion_model.")])
def test_a_transformer_is_the_same_model(tmp_path: Path, channels: int, prefix: str) -> None:
    ours = transformer(channels)
    file = written(tmp_path, weights(ours, prefix), {"config": json.dumps({"transformer": {"text_dim": TEXT_DIM}})})
    assert is_transformer(file) and not is_autoencoder(file)
    part = transformer_part(file)
    assert part == transformer_part(file)
    theirs = diffusers_model(WanTransformer3DModel, part, torch.float32, CPU)
    assert theirs.config.num_attention_heads == 2
    x, text = torch.randn(2, channels, 3, 4, 6), torch.randn(2, 5, TEXT_DIM)
    level = torch.tensor([0.02, 0.125])  # at higher ones float32 leaves fewer digits of the angles
    expected = ours(x, level, text)
    found = theirs(x, 1000 * level, text, return_dict=False)[0]
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_an_autoencoder_is_the_same_model(tmp_path: Path) -> None:
    ours = randomised(VideoAutoencoder(8))
    file = written(tmp_path, weights(ours))
    assert is_autoencoder(file) and not is_transformer(file)
    theirs = diffusers_model(AutoencoderKLWan, autoencoder_part(file), torch.float32, CPU)
    for frames in (1, 5, 9, 17):
        pixels = torch.randn(1, 3, frames, 16, 24)
        latents = ours.encode(pixels)
        assert latents.std() > 0.1
        torch.testing.assert_close(theirs.encode(pixels).latent_dist.mean, latents, rtol=1e-5, atol=1e-5)
        expected = ours.decode(latents).clamp(-1, 1)
        assert expected.shape == pixels.shape and expected.std() > 0.1
        torch.testing.assert_close(theirs.decode(latents).sample, expected, rtol=1e-5, atol=1e-5)


def test_names_of_a_transformer_are_as_many_as_diffusers_has(tmp_path: Path) -> None:
    """With the image branch, which every name has a place in: each is of one tensor, and each tensor of one name."""
    fields = {"num_attention_heads": 2, "attention_head_dim": 128, "in_channels": 36, "text_dim": TEXT_DIM}
    fields |= {"ffn_dim": 64, "num_layers": 2, "image_dim": 20, "added_kv_proj_dim": 256, "pos_embed_seq_len": 6}
    theirs = randomised(WanTransformer3DModel(**fields))
    layers = [*TRANSFORMER, *(f"blocks.{at}.{layer}" for at in range(2) for layer in BLOCK)]
    endings = ("", ".weight", ".bias")
    names = {transformer_name(layer + ending): layer + ending for layer in layers for ending in endings}
    assert len(names) == 3 * len(layers)
    file = written(tmp_path, {names[name]: value for name, value in theirs.state_dict().items()})
    part = transformer_part(file)
    found = diffusers_model(WanTransformer3DModel, part, torch.float32, CPU)
    assert model_fields(WanTransformer3DModel, part) == model_fields(WanTransformer3DModel, part) | fields
    for name, value in theirs.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def extra(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: torch.zeros(1)})


def other(name: str, shape: tuple[int, ...]) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (extra("vace_patch_embedding.weight"), "Wan's VACE, which is not supported"),
        (extra("control_adapter.conv.weight"), "Wan's Fun-Camera"),
        (extra("ref_conv.weight"), "Wan's Fun-Control"),
        (extra("casual_audio_encoder.encoder.final_linear.weight"), "Wan's S2V"),
        (extra("face_adapter.fuser_blocks.0.k_norm.weight"), "Wan's Animate"),
        (extra("blocks.0.cam_encoder.weight"), "a variant of Wan that is not supported: no other has blocks.0.cam_"),
        (extra("blocks.0.self_attn.q.scale_weight"), "scaled weights .*use one in fp16 or bf16"),
        (extra("scaled_fp8"), "scaled weights"),
        (other("patch_embedding.weight", (256, 48, 1, 2, 2)), "takes 48 channels, such as Fun-Control"),
        (other("head.modulation", (256,)), r"head.modulation has the shape \[256\]"),
        (other("head.modulation", (1, 2, 0)), r"head.modulation has the shape \[1, 2, 0\]"),
        (other("head.modulation", (1, 2, 100)), "100 channels cannot be divided among 0 heads"),
        (lambda tensors: tensors.pop("blocks.0.ffn.0.weight"), "blocks.0.ffn.0.weight is missing"),
        (lambda tensors: tensors.pop("head.modulation"), "holds no transformer of Wan"),
        (lambda tensors: tensors.pop("blocks.1.ffn.0.bias"), "the weights lack 1 tensors"),
        (lambda tensors: tensors.pop("patch_embedding.weight"), "patch_embedding.weight is missing"),
        (other("blocks.9.norm3.bias", (256,)), "the weights lack"),
        (other("blocks.1.norm3.bias", (64,)), "1 tensors have another shape than the configuration says"),
    ],
)
def test_what_is_no_supported_transformer_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], words: str
) -> None:
    tensors = weights(Transformer(dim=256, ffn_dim=64, layers=2, text_dim=TEXT_DIM))
    change(tensors)
    file = written(tmp_path, tensors)
    with pytest.raises(MotionError, match=words), explained(file):
        diffusers_model(WanTransformer3DModel, transformer_part(file), torch.float32, META)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "could not be read as JSON"),
        ("[" * 100_000, "could not be read as JSON|should be a JSON object"),
        ("3", "should be a JSON object"),
        ('{"transformer": 3}', "should be a JSON object"),
        ('{"transformer": {"num_heads": 0}}', "cannot be divided among 0 heads"),
        ('{"transformer": {"num_heads": "2"}}', "cannot be divided among 2 heads"),
        ('{"transformer": {"num_heads": 7}}', "cannot be divided among 7 heads"),
        (" " * 2**21, "should be a JSON object"),
    ],
)
def test_a_header_is_not_believed_blindly(tmp_path: Path, config: str, words: str) -> None:
    tensors = weights(Transformer(dim=256, ffn_dim=64, layers=1, text_dim=TEXT_DIM))
    with pytest.raises(MotionError, match=words):
        transformer_part(written(tmp_path, tensors, {"config": config}))


def test_the_number_of_heads_may_stand_in_the_header(tmp_path: Path) -> None:
    tensors = weights(Transformer(dim=256, ffn_dim=64, layers=1, text_dim=TEXT_DIM))
    part = transformer_part(written(tmp_path, tensors, {"config": '{"transformer": {"num_heads": 4}}'}))
    assert (part.config["num_attention_heads"], part.config["attention_head_dim"]) == (4, 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other("decoder.upsamples.0.upsamples.0.residual.2.weight", (1,)), "as Wan 2.2's 5B model has"),
        (other("conv2.weight", (48, 48, 1, 1, 1)), "an autoencoder with 48 channels"),
        (extra("decoder.extra.weight"), "no other has decoder.extra.weight"),
        (lambda tensors: tensors.pop("decoder.middle.0.residual.0.gamma"), "holds no video autoencoder of Wan"),
        (lambda tensors: tensors.pop("encoder.conv1.bias"), "the weights lack 1 tensors"),
        (other("encoder.conv1.weight", (8, 4, 3, 3, 3)), "1 tensors have another shape"),
    ],
)
def test_what_is_no_supported_autoencoder_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], words: str
) -> None:
    tensors = weights(VideoAutoencoder(8))
    change(tensors)
    file = written(tmp_path, tensors)
    with pytest.raises(MotionError, match=words), explained(file):
        diffusers_model(AutoencoderKLWan, autoencoder_part(file), torch.float32, META)


def test_other_files_are_not_taken_for_wan(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    text = tmp_path / "wan.ckpt"
    text.write_text("x")
    for file, words in (
        (broken, "could not be read"),
        (text, "is not a safetensors file"),
        (tmp_path, "is not a safetensors file"),
        (tmp_path / "none.safetensors", "is not a safetensors file"),
    ):
        assert not is_transformer(file) and not is_autoencoder(file)
        for part in (transformer_part, autoencoder_part):
            with pytest.raises(MotionError, match=words):
                part(file)
