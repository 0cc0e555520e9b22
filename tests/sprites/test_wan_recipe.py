"""The recipe of sprite_wan: its networks compute what hosts of Wan 2.1 compute, and its files are what they load."""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")
from diffusers.loaders.single_file_utils import (
    convert_wan_transformer_to_diffusers,
    convert_wan_vae_to_diffusers,
)
from safetensors import safe_open

from motion_lib.sprites.recipe import checkpoint
from motion_lib.sprites.recipe.text import load_tokenizer, tokenize
from motion_lib.sprites.recipe.wan import autoencoder, clips, distil, evaluate, export, store, transformer, unpack
from motion_lib.sprites.recipe.wan.design import IN_CHANNELS, LATENTS_MEAN, LATENTS_STD, TRANSFORMER
from motion_lib.sprites.recipe.wan.dit import Transformer, new_transformer
from motion_lib.sprites.recipe.wan.muon import Muon, orthogonalised
from motion_lib.sprites.recipe.wan.sampling import noise_levels, path, sample
from motion_lib.sprites.recipe.wan.vae import Speed, VideoAutoencoder
from motion_lib.sprites.world.captions import known_sentences


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Nothing is zero, so that every part counts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            fan = p[0].numel() if p.ndim > 1 and p.numel() > len(p) else 4
            p.copy_(torch.randn(p.shape, generator=generator) * (1 / fan**0.5))
            if p.ndim > 1 and p.numel() == len(p):  # a gamma
                p.add_(1)
    return module.eval()


@lru_cache(maxsize=1)
def small_vae() -> VideoAutoencoder:
    return randomised(VideoAutoencoder(dim=4))  # type: ignore[return-value]


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_the_autoencoder_is_that_of_wan() -> None:
    """Diffusers runs it a few frames at a time, and reads these parameter names."""
    from diffusers import AutoencoderKLWan

    theirs = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], temperal_downsample=[False, True, True])
    theirs.load_state_dict(convert_wan_vae_to_diffusers(dict(small_vae().state_dict())))
    frames = noise(1, 3, 9, 16, 16).tanh()
    latents = small_vae().encode(frames)
    assert latents.shape == (1, 16, 3, 2, 2)
    torch.testing.assert_close(latents, theirs.eval().encode(frames).latent_dist.mean, rtol=1e-4, atol=1e-5)
    made = small_vae().decode(latents)
    assert made.shape == frames.shape and made.std() > 0.01
    torch.testing.assert_close(made.clamp(-1, 1), theirs.decode(latents).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_shorter_clip_has_the_first_latents_of_a_longer_one() -> None:
    """On which training on 17 frames of 33 relies."""
    frames = noise(1, 3, 13, 16, 16).tanh()
    latents = small_vae().encode(frames)
    for length in (1, 5, 9):
        own = small_vae().encode(frames[:, :, :length])
        torch.testing.assert_close(own, latents[:, :, : own.shape[2]], rtol=1e-4, atol=1e-5)
        back = small_vae().decode(own)
        torch.testing.assert_close(back, small_vae().decode(latents)[:, :, :length], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_both_ways_to_compute_a_convolution_agree(monkeypatch) -> None:
    frames = noise(2, 3, 5, 16, 16).tanh()
    latents = small_vae().encode(frames)
    monkeypatch.setattr(Speed, "flat", True)
    torch.testing.assert_close(small_vae().encode(frames), latents, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_new_autoencoder_passes_colours_on() -> None:
    """It starts as a linear map: without that it did not learn colours in thousands of steps."""
    torch.manual_seed(0)
    model = VideoAutoencoder(dim=4)
    colours = torch.rand(40, 3) * 2 - 1
    latents = model.encode(colours[:, :, None, None, None].expand(-1, -1, 1, 16, 16))[:, :, 0, 1, 1]
    inputs = torch.cat([colours, torch.ones(40, 1)], dim=1)
    kept = torch.linalg.lstsq(torch.cat([latents, torch.ones(40, 1)], dim=1), inputs).solution
    found = torch.cat([latents, torch.ones(40, 1)], dim=1) @ kept
    assert (found - inputs).abs().mean() < 0.1 and latents.std(0).mean() > 0.02
    assert model.moments(colours[:1, :, None, None, None].expand(-1, -1, 1, 16, 16))[1].mean() < -5


@torch.no_grad()
def test_rescaled_latents_and_the_same_pictures() -> None:
    model = VideoAutoencoder(dim=4)
    model.load_state_dict(small_vae().state_dict())
    frames = noise(1, 3, 5, 16, 16).tanh()
    before, pictures = model.encode(frames), model.decode(model.encode(frames))
    mean, std = noise(16, seed=2), noise(16, seed=3).exp()
    autoencoder.rescale(model, mean, std)
    expected = (before - mean[:, None, None, None]) / std[:, None, None, None]
    torch.testing.assert_close(model.encode(frames), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.decode(model.encode(frames)), pictures, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_transformer_is_that_of_wan() -> None:
    from diffusers import WanTransformer3DModel

    mine = randomised(Transformer(dim=256, ffn_dim=64, layers=2, text_dim=24))
    theirs = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=128,
        in_channels=IN_CHANNELS,
        out_channels=16,
        text_dim=24,
        ffn_dim=64,
        num_layers=2,
    )
    theirs.load_state_dict(convert_wan_transformer_to_diffusers(dict(mine.state_dict())))
    seen, text, level = noise(2, IN_CHANNELS, 3, 4, 6), noise(2, 5, 24, seed=2), torch.tensor([0.9, 0.2])
    made = mine(seen, level, text)
    assert made.shape == (2, 16, 3, 4, 6) and made.std() > 0.1
    expected = theirs.eval()(seen, 1000 * level, text).sample
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)


def test_sizes() -> None:
    """At most 14 million parameters, and an autoencoder of at most 8 MB in half precision."""
    assert sum(p.numel() for p in new_transformer().parameters()) <= 14e6
    assert 2 * sum(p.numel() for p in VideoAutoencoder().parameters()) <= 8e6
    assert TRANSFORMER["dim"] % 128 == 0


def test_noise_levels() -> None:
    assert noise_levels(4, 1) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert noise_levels(2, 3) == pytest.approx([1, 0.75, 0])


def test_sampling_follows_the_flow() -> None:
    """Of one clip only, the velocity at every level is known, and any number of steps leads to it."""
    clip = noise(1, 16, 2, 4, 4)

    def model(seen, level, text):
        assert seen.shape[1] == IN_CHANNELS and (seen[:, 16:] == 0).all()
        return (seen[:, :16] - clip) / level[:, None, None, None, None]

    start = noise(1, 16, 2, 4, 4, seed=9)
    for steps in (1, 7):
        torch.testing.assert_close(sample(model, start, clip, clip, steps=steps), clip, rtol=1e-4, atol=1e-4)


def few_paths(monkeypatch) -> distil.Paths:
    """Of models that do something simple, and opposite things."""
    monkeypatch.setattr(distil, "LATENT_SIDE", 4)
    generator = torch.Generator().manual_seed(0)

    class Store:
        dtype, empty = torch.float32, torch.zeros(1, 2, dtype=torch.long)

        def renew(self) -> None: ...

        def draw(self, count: int, frames: int, generator: torch.Generator):
            return None, torch.zeros(count, 20, frames, 4, 4), torch.ones(count, 2, dtype=torch.long)

    class Teacher:
        sign = 1

        def text_encoder(self, ids):
            return (ids.float(),)

        def transformer(self, seen, level, text):
            return self.sign * text.mean() * seen[:, :16].tanh() * level[:, None, None, None, None]

    class Student(Teacher):
        sign = -1

    return distil.Paths(Teacher(), Student(), Store(), 2, generator)  # type: ignore[arg-type]


def test_a_companions_points_lie_on_the_models_path(monkeypatch) -> None:
    paths = few_paths(monkeypatch)
    paths.grow(3)
    points = paths.points[0]
    assert points.shape == (5, 3, 16, 2, 4, 4)
    told = torch.ones(3, 2), torch.zeros(3, 2)
    torch.testing.assert_close(points[-1], sample(paths.teacher.transformer, points[0], *told))
    here, velocity, level, given, ids = paths.draw(8)
    assert given.shape == (8, 20, 2, 4, 4) and (ids == 1).all()
    for i, at in enumerate(level.tolist()):
        step = [round(known, 4) for known in noise_levels(4)].index(round(at, 4))
        there = here[i] - (noise_levels(4)[step] - noise_levels(4)[step + 1]) * velocity[i]
        assert (points[step] - here[i]).abs().amax((1, 2, 3, 4)).min() == 0
        assert (points[step + 1] - there).abs().amax((1, 2, 3, 4)).min() < 1e-5


def test_a_companions_own_points_are_led_back(monkeypatch) -> None:
    """After two steps of the student the teacher goes on, to which its two last steps lead."""
    paths, told = few_paths(monkeypatch), (torch.ones(3, 2), torch.zeros(3, 2))
    paths.grow(3, own=2)
    (points,) = paths.points
    assert points.shape == (3, 3, 16, 2, 4, 4)
    paths.grow(3)
    rest = path(paths.teacher.transformer, points[0], *told, steps=distil.TEACHER, done=10)
    torch.testing.assert_close(points[-1], list(rest)[-1])
    levels = [round(float(at), 4) for at in paths.draw(400)[2].unique()]
    assert levels == sorted(round(known, 4) for known in noise_levels(4)[:-1])


def test_noised_latents() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = noise(64, 16, 1, 2, 2)
    noisy, target, level = transformer._noised(clean, generator)
    at = level[:, None, None, None, None]
    torch.testing.assert_close(noisy, clean + at * target, rtol=1e-5, atol=1e-5)
    assert 0 < level.min() < 0.05 and level.max() <= 1 and level.mean() > 0.6  # shifted towards noise


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonalised(shape: tuple[int, int]) -> None:
    matrices = noise(3, *shape)
    singular = torch.linalg.svdvals(orthogonalised(matrices))
    assert singular.min() > 0.3 and singular.max() < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    alike = (orthogonalised(matrices) * (u @ v)).sum((1, 2)) / min(shape)
    assert (alike > 0.75).all()


def test_muon_steps_on_each_as_if_alone() -> None:
    """Matrices of one shape are treated together, convolutions as matrices."""
    values = [noise(6, 4, seed=i) for i in range(3)] + [noise(6, 2, 3, 3, seed=5)]
    gradients = [noise(*v.shape, seed=10 + i) for i, v in enumerate(values)]

    def stepped(chosen: list[int]) -> list[torch.Tensor]:
        parameters = [torch.nn.Parameter(values[i].clone()) for i in chosen]
        optimizer = Muon(parameters, lr=0.1, weight_decay=0.5)
        for _ in range(2):
            for p, i in zip(parameters, chosen, strict=True):
                p.grad = gradients[i]
            optimizer.step()
        return [p.detach() for p in parameters]

    for i, together in enumerate(stepped([0, 1, 2, 3])):
        torch.testing.assert_close(stepped([i])[0], together)
    step = (stepped([0])[0] - 0.95**2 * values[0]).square().mean().sqrt()
    assert 0.1 * 0.2 < step < 0.1 * 0.2 * 2.5  # root mean square of two steps: each 0.2 of the rate


def test_captions_of_the_wide_world_are_short_enough(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tmp_path / "tokenizer", known_sentences())
    ids = tokenize(tokenizer, list(dict.fromkeys(known_sentences())))
    assert ids.shape[1] == 32 and (ids[:, -1] == tokenizer.eos_token_id).all()


def test_a_given_picture_is_followed_by_grey() -> None:
    frames = noise(2, 3, 5, 4, 4)
    given = store.given_picture(frames)
    assert torch.equal(given[:, :, 0], frames[:, :, 0]) and (given[:, :, 1:] == 0).all()


def test_clips_by_seed() -> None:
    drawn = [clips.Clips("cpu", photographs=False, size=16) for _ in range(2)]
    (a, said), (b, again) = (each.draw(3, 5, seed=4, classic=0.5) for each in drawn)
    assert said == again and torch.equal(drawn[0].show(a), drawn[1].show(b))
    pool = clips.ClipPool(drawn[0], 8, 4, 5, 0.5, start=0)
    before = pool.held.clone()
    for _ in range(pool.EVERY):
        batch = pool.draw(6, torch.Generator().manual_seed(0))
    assert batch.shape == (6, 3, 5, 16, 16) and -1 <= batch.min() and batch.max() <= 1
    assert not torch.equal(pool.held[:4], before[:4]) and torch.equal(pool.held[4:], before[4:])


@pytest.mark.parametrize("kind", clips.KINDS)
def test_unseen_clips(kind: str) -> None:
    frames = clips.unseen(kind, 1, 2, 0, "cpu", photographs=False)
    assert frames.shape == (1, 3, 2, 128, 128) and frames.isfinite().all()


@pytest.fixture
def tiny(monkeypatch) -> None:
    """The recipe at a size that takes seconds."""
    sizes = {"SIZE": 16, "FRAMES": 5, "LATENT_FRAMES": 2, "SHORT_LATENT_FRAMES": 1, "LATENT_SIDE": 2}
    for module in (autoencoder, clips, distil, evaluate, store, transformer):
        for name, value in sizes.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(clips.Clips.__init__, "__defaults__", (True, 16))
    monkeypatch.setattr(autoencoder, "AUTOENCODER_DIM", 4)
    small = Transformer(dim=128, ffn_dim=32, layers=1, text_dim=TRANSFORMER["text_dim"])
    monkeypatch.setattr(transformer, "new_transformer", lambda: copy.deepcopy(small))
    monkeypatch.setattr(autoencoder, "latent_statistics", lambda *_: (torch.zeros(16), torch.ones(16)))


def test_the_whole_recipe_restarts_and_exports(tiny, tmp_path: Path, capsys) -> None:
    still = {"minutes": 1.0, "device": "cpu", "rate": 1e-3, "photographs": False, "compile": False}
    autoencoder.train(tmp_path, steps=2, batch=1, frames=5, **still)
    autoencoder.train(tmp_path, steps=3, batch=1, frames=5, **still)
    assert checkpoint.load(tmp_path / autoencoder.FILE, "cpu")["step"] == 3  # type: ignore[index]
    learn = {"batch": 2, "clips": 4, "renew": 2, "cool": False, **still}
    transformer.train(tmp_path, steps=3, **learn)
    weights = transformer.finished(tmp_path, "cpu").transformer.blocks[0].ffn[0].weight.clone()
    checkpoint.lighten(tmp_path / transformer.FILE, tmp_path / transformer.FILE)  # as it comes from elsewhere
    transformer.train(tmp_path, steps=2, **learn | {"cool": True})
    assert checkpoint.load(tmp_path / transformer.FILE, "cpu")["step"] == 5  # type: ignore[index]
    assert not torch.equal(transformer.finished(tmp_path, "cpu").transformer.blocks[0].ffn[0].weight, weights)
    losses = [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines() if '"loss"' in line]
    assert losses and all(0 < loss < 10 for loss in losses)

    distil.train(tmp_path, steps=3, batch=2, grow=2, **still)
    distil.train(tmp_path, steps=2, batch=2, grow=2, **still)
    assert checkpoint.load(tmp_path / distil.FILE, "cpu")["step"] == 5  # type: ignore[index]

    export.export(tmp_path, tmp_path / "model")
    with safe_open(tmp_path / "model" / export.DIFFUSION_MODEL, "pt") as file:
        assert json.loads(file.metadata()["config"]) == {"transformer": {"text_dim": TRANSFORMER["text_dim"]}}
        assert file.get_tensor("head.modulation").dtype == torch.float16
    with safe_open(tmp_path / "model" / export.VAE, "pt") as file:
        exported = VideoAutoencoder(dim=4)
        exported.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})
    frames = noise(1, 3, 5, 16, 16).tanh()
    with torch.no_grad():
        hosts = (exported.encode(frames)[0] - LATENTS_MEAN[:, None, None, None]) / LATENTS_STD[:, None, None, None]
        own = autoencoder.finished(tmp_path, "cpu").encode(frames)[0]
    torch.testing.assert_close(hosts, own, rtol=1e-2, atol=1e-2)  # half precision
    assert (tmp_path / "model" / "text_encoder" / "model.safetensors").exists()
    assert (tmp_path / "model" / "tokenizer" / "vocab.json").exists()

    unpack.unpack(tmp_path / "again", str(tmp_path / "model"))
    with torch.no_grad():
        again = autoencoder.finished(tmp_path / "again", "cpu").encode(frames)[0]
    torch.testing.assert_close(again, own, rtol=1e-2, atol=1e-2)
    before = transformer.finished(tmp_path, "cpu").state_dict()
    for name, value in transformer.finished(tmp_path / "again", "cpu").state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-2, atol=1e-3, msg=name)

    changed, model = transformer.finished(tmp_path, "cpu"), transformer.finished(tmp_path, "cpu")
    distil.finished(tmp_path, changed.transformer, "cpu")
    with safe_open(tmp_path / "model" / export.COMPANION, "pt") as file, torch.no_grad():
        for name in file.keys():
            matrix, letter = name.removeprefix("diffusion_model.").rsplit(".lora_", 1)
            if letter == "A.weight":
                change = file.get_tensor(name.replace("lora_A", "lora_B")).float() @ file.get_tensor(name).float()
                model.transformer.get_parameter(f"{matrix}.weight").add_(change)
    seen, text = noise(1, IN_CHANNELS, 2, 2, 2), noise(1, 4, TRANSFORMER["text_dim"])
    there = [m.transformer(seen, torch.tensor([0.5]), text) for m in (changed, model)]
    torch.testing.assert_close(*there, rtol=1e-2, atol=1e-3)  # half precision
    assert not torch.equal(there[0], transformer.finished(tmp_path, "cpu").transformer(seen, torch.tensor([0.5]), text))

    made = evaluate.Trained(tmp_path, "cpu", companion=True).make(["a red star"], [1], 5, frames[:, :, 0], steps=1)
    assert made.shape == (1, 3, 5, 16, 16) and made.isfinite().all()
