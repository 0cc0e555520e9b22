"""The recipe of sprite_image, with few steps on the CPU: it begins with the video model, learns, carries on, and writes
a folder that loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from motion_lib import load_model
from motion_lib.frames_from_images.loading import load_image_model
from motion_lib.sprites.recipe import checkpoint
from motion_lib.sprites.recipe.image import evaluate, export, unet
from motion_lib.sprites.recipe.image.__main__ import main as recipe

SMALL = {"batch": 2, "minutes": 0, "device": "cpu", "rate": 1e-3, "clips": 4, "renew": 2, "compile": False}


def test_the_stages_in_their_order(tmp_path: Path, capsys) -> None:
    unet.train(tmp_path, 2, **SMALL)
    first = checkpoint.load(tmp_path / unet.FILE, "cpu")
    unet.train(tmp_path, 4, **SMALL)
    state = checkpoint.load(tmp_path / unet.FILE, "cpu")
    assert first is not None and state is not None and (first["step"], state["step"]) == (2, 4)
    assert state["optimizer"]["state"][0]["step"] == 4  # its moments were carried on
    assert not torch.equal(first["model"]["conv_in.weight"], state["model"]["conv_in.weight"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0]["pictures"] == 8

    export.export(tmp_path, tmp_path / "sprite_image", whole=True)
    size = sum(file.stat().st_size for file in (tmp_path / "sprite_image" / "unet").iterdir())
    assert size < 10e6
    model = load_image_model(tmp_path / "sprite_image")
    assert (model.defaults.width, model.defaults.height) == (128, 128)
    stored = model.denoiser.unet.state_dict()["conv_in.weight"]  # type: ignore[attr-defined]
    assert torch.equal(stored, state["ema"]["conv_in.weight"].half().float())

    out = tmp_path / "result.json"
    evaluate.evaluate(str(tmp_path / "sprite_image"), 2, 4.0, 2, 1, "cpu", 2, out)
    found = json.loads(out.read_text())
    assert found["pictures"] == 2 and all(0 <= found[kind] <= 1 for kind in ("shape", "colour", "tone", "all"))


def test_training_begins_with_the_spatial_layers_of_the_video_model() -> None:
    video = load_model("sprite_t2v").denoiser.unet.state_dict()  # type: ignore[attr-defined]
    begun = unet.new_model("cpu", video).state_dict()
    for ours, theirs in {
        "conv_in.weight": "conv_in.weight",
        "down_blocks.1.resnets.1.conv2.weight": "down_blocks.1.resnets.1.conv2.weight",
        "up_blocks.2.attentions.0.transformer_blocks.0.attn2.to_k.weight": (
            "up_blocks.3.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        ),
        "mid_block.resnets.0.conv1.weight": "down_blocks.2.resnets.1.conv1.weight",
    }.items():
        assert torch.equal(begun[ours], video[theirs])
    wider = begun["up_blocks.0.resnets.0.conv1.weight"]
    known = video["up_blocks.1.resnets.0.conv1.weight"]
    new = wider.shape[1] - known.shape[1]
    assert torch.equal(wider[:, new:], known) and not wider[:, :new].any()
    store = unet.PictureStore(load_model("sprite_t2v"), 8, 4, 0)
    alphas = unet.alphas_cumprod("cpu")
    losses = []
    for model in (unet.new_model("cpu", video), unet.new_model("cpu")):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            losses.append(float(unet.velocity_loss(model, *store.draw(16, generator), alphas, generator)))
    assert losses[0] < 0.7 * losses[1]


def test_captions_stand_beside_their_pictures() -> None:
    """What is drawn of a store is a frame with the caption of its own clip, also after the store was renewed."""
    store = unet.PictureStore(load_model("sprite_t2v"), 4, 2, 0)
    store.renew()
    generator = torch.Generator().manual_seed(0)
    latents, text = store.draw(16, generator)
    for picture, words in zip(latents, text, strict=True):
        place = int((store.latents == picture).flatten(1).all(1).nonzero()[0])
        assert torch.equal(words, store.text[place // unet.PICTURES]) or torch.equal(words, store.empty[0])


def test_help_explains_the_stages(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["image", "unet", "--help"])
    with pytest.raises(SystemExit):
        recipe()
    assert "--minutes" in capsys.readouterr().out
