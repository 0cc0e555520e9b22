"""The spatial LoRA: where it acts, what it learns, and that nothing of it stays."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.method.patch import MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.losses import LOSSES, SPATIAL, SpatialTerm
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.spatial_lora import SpatialLoRA
from motion_lib.training.state import TrainingState
from tests.runs import CLIP, Watched, begin, finish
from tests.tiny import SCHEDULE, ZERO_SNR, randn, random_embedding, text, tiny_denoiser, tiny_unet

HYBRID = TrainingSettings(steps=4, loss="hybrid", seed=3, learning_rate=0.05)
TERM = SpatialTerm(rank=4)


def random_lora(denoiser: UNet3DDenoiser, seed: int = 0) -> SpatialLoRA:
    lora = SpatialLoRA.start(denoiser.spatial_linears(), TERM, HYBRID, "cpu")
    lora.prepare(denoiser, CLIP)
    with torch.no_grad():
        for i, tensor in enumerate(lora.tensors.values()):
            tensor.copy_(0.3 * randn(*tensor.shape, seed=seed + i))
    return lora


def predict(denoiser, dtype: torch.dtype = torch.float32, patches=()) -> Tensor:
    return denoiser(CLIP.to(dtype), torch.tensor([700]), text(dtype=dtype), patches)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_layers_are_attention_and_feed_forward_of_the_spatial_transformers() -> None:
    """Five transformers of one block each, with two attentions of four layers and two of the feed-forward."""
    denoiser = tiny_denoiser()
    layers = denoiser.spatial_linears()
    parts = {name.partition(".transformer_blocks.0.")[2] for name in layers}
    attentions = {f"attn{i}.{part}" for i in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")}
    assert parts == attentions | {"ff.net.0.proj", "ff.net.2"}
    assert len(layers) == 7 * 10 and not any("temp" in name or "transformer_in" in name for name in layers)
    modules = dict(denoiser.unet.named_modules())
    assert all(modules[name] is layer for name, layer in layers.items())


def test_a_layer_gains_up_times_down() -> None:
    denoiser = UNet3DDenoiser(tiny_unet().double(), tiny_denoiser().process)
    lora = random_lora(denoiser)
    name, layer = next(iter(lora.layers.items()))
    down, up = (lora.tensors[f"{name}.{part}"].detach().double() for part in ("down", "up"))
    x = randn(5, layer.in_features, dtype=torch.float64)
    with lora.acting(CLIP, learning=True):
        found = layer(x)
    plain = x @ layer.weight.mT + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(found, plain + x @ down.mT @ up.mT, rtol=0, atol=1e-12)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_one_changes_nothing_and_keeps_the_precision(dtype: torch.dtype) -> None:
    denoiser = tiny_denoiser(dtype=dtype)
    lora = SpatialLoRA.start(denoiser.spatial_linears(), TERM, HYBRID, "cpu")
    lora.prepare(denoiser, CLIP)
    plain = predict(denoiser, dtype)
    with lora.acting(CLIP, learning=False):
        found = predict(denoiser, dtype)
    assert found.dtype == dtype and torch.equal(found, plain)
    downs = torch.cat([tensor.flatten() for name, tensor in lora.tensors.items() if name.endswith("down")])
    assert float(downs.detach().std()) == pytest.approx(1 / TERM.rank, rel=0.05)


def test_it_acts_only_inside_and_leaves_even_when_something_breaks() -> None:
    denoiser = tiny_denoiser()
    lora = random_lora(denoiser)
    weights = {name: tensor.clone() for name, tensor in denoiser.unet.state_dict().items()}
    before, plain = hooks(denoiser.unet), predict(denoiser)
    with pytest.raises(ZeroDivisionError), lora.acting(CLIP, learning=True):
        assert float((predict(denoiser) - plain).detach().abs().max()) > 0.01
        raise ZeroDivisionError
    assert torch.equal(predict(denoiser), plain) and hooks(denoiser.unet) == before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in denoiser.unet.state_dict().items())


@pytest.mark.parametrize("learning", [True, False])
def test_gradients_reach_it_only_while_it_learns_and_pass_through_it_always(learning: bool) -> None:
    denoiser = tiny_denoiser()
    lora, embedding = random_lora(denoiser), random_embedding(denoiser.backbone)
    live = {name: tensor.requires_grad_() for name, tensor in embedding.tensors.items()}
    patch = MotionPatch(embedding.with_tensors(live)).prepare(3, (5, 6), "cpu", torch.float32)
    with lora.acting(CLIP, learning):
        predict(denoiser, patches=[patch]).square().mean().backward()
    assert all((tensor.grad is not None) == learning for tensor in lora.tensors.values())
    assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in live.values())


def test_checkpointed_blocks_run_again_with_it() -> None:
    def gradients(checkpointed: bool) -> Tensor:
        denoiser = UNet3DDenoiser(tiny_unet(), tiny_denoiser().process)
        lora = random_lora(denoiser)
        for block in (*denoiser.unet.down_blocks, *denoiser.unet.up_blocks) if checkpointed else ():
            forward = block.forward
            block.forward = lambda *a, forward=forward, **k: checkpoint(forward, *a, use_reentrant=False, **k)
        with lora.acting(CLIP, learning=True):
            predict(denoiser).square().mean().backward()
        found = [tensor.grad.flatten() for tensor in lora.tensors.values() if tensor.grad is not None]
        assert len(found) == len(lora.tensors)
        return torch.cat(found)

    torch.testing.assert_close(gradients(True), gradients(False))


# In training


def merged(unet: nn.Module, lora: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the model with the LoRA in them: W + up·down."""
    weights = {name: parameter.detach() for name, parameter in unet.named_parameters()}
    for name in {key.rpartition(".")[0] for key in lora}:
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + lora[f"{name}.up"] @ lora[f"{name}.down"]
    return weights


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_hybrid_training_against_merged_weights(prediction: str) -> None:
    """Six steps in single precision against a loop of its own here, in double precision, whose LoRA is added to the
    weights: one frame without the embedding teaches the LoRA, all frames with it as it stands teach the embedding, and
    a fifth of the steps goes without."""
    settings = TrainingSettings(steps=6, loss="hybrid", seed=3, learning_rate=0.05, clip=0.0)
    state = finish(begin(settings), tiny_denoiser(prediction))

    unet, clip, words = copy.deepcopy(tiny_denoiser(prediction).unet).double(), CLIP.double(), text().double()
    alphas = NoiseSchedule.from_config(SCHEDULE if prediction == "epsilon" else ZERO_SNR).alphas_cumprod
    term, options = SPATIAL["hybrid"], {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}
    first = SpatialLoRA.start(tiny_denoiser().spatial_linears(), term, settings, "cpu")
    lora = {name: tensor.detach().double().requires_grad_() for name, tensor in first.tensors.items()}
    empty = begin(settings).embedding
    m = {name: tensor.detach().double().requires_grad_() for name, tensor in empty.tensors.items()}
    learn_look = torch.optim.AdamW(lora.values(), lr=term.learning_rate, **options)
    learn_motion = torch.optim.AdamW(m.values(), lr=0.05, **options)
    generator, losses, went_without = torch.Generator().manual_seed(3), [], 0
    for _ in range(6):
        t = torch.randint(0, 1000, (1,), generator=generator)
        noise = torch.randn(CLIP.shape, generator=generator).double()
        signal, spread = alphas[t].sqrt(), (1 - alphas[t]).sqrt()
        noisy, target = signal * clip + spread * noise, noise
        if prediction == "v_prediction":
            target = signal * noise - spread * clip
        without = float(torch.rand((), generator=generator)) < 0.2
        went_without += without

        def error(weights: dict[str, Tensor], x: Tensor, y: Tensor, patches=(), t=t) -> Tensor:
            given = {"cross_attention_kwargs": {"motion": tuple(patches)}, "return_dict": False}
            return functional_call(unet, weights, (x, t, words), given)[0] - y

        weights = merged(unet, {} if without else lora)
        if not without:
            frame = int(torch.randint(3, (), generator=generator))
            one = slice(frame, frame + 1)
            learn_look.zero_grad()
            error(weights, noisy[:, :, one], target[:, :, one]).square().mean().backward()
        patch = MotionPatch(empty.with_tensors(m)).prepare(3, (5, 6), "cpu", torch.float64)
        still = {name: tensor.detach() for name, tensor in weights.items()}
        e = error(still, noisy, target, [patch])
        loss = LOSSES["debiased"](e, torch.zeros_like(e), generator)
        learn_motion.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        learn_motion.step()
        if not without:
            learn_look.step()
    assert 0 < went_without < 5 and state.losses == pytest.approx(losses, rel=1e-4)
    assert state.spatial is not None and torch.equal(state.generator.get_state(), generator.get_state())
    for name, tensor in lora.items():
        torch.testing.assert_close(state.spatial.tensors[name].double(), tensor, rtol=0, atol=2e-4)


def test_it_is_left_out_of_a_fifth_of_the_steps() -> None:
    denoiser = Watched(tiny_denoiser())
    finish(begin(TrainingSettings(steps=60, loss="hybrid"), "mid_block*"), denoiser)
    single = sum(x.shape[2] == 1 for x in denoiser.latents)
    assert len(denoiser.latents) == 60 + single and 40 <= single <= 56  # 48 on average


def test_the_model_is_itself_between_steps_and_after_leaving_in_any_way() -> None:
    denoiser, state = tiny_denoiser(), begin(HYBRID)
    weights = {name: tensor.clone() for name, tensor in denoiser.unet.state_dict().items()}
    before, plain = hooks(denoiser.unet), predict(denoiser)
    run = train(denoiser, CLIP, text(), state)
    for _ in range(3):
        next(run)
        assert torch.equal(predict(denoiser), plain) and hooks(denoiser.unet) == before
    assert state.spatial is not None and any(bool(t.any()) for n, t in state.spatial.tensors.items() if "up" in n)
    run.close()

    def breaking(prediction: Tensor, call: int) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(train(Watched(denoiser, breaking), CLIP, text(), state))
    assert torch.equal(predict(denoiser), plain) and hooks(denoiser.unet) == before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in denoiser.unet.state_dict().items())
    assert all(parameter.grad is None for parameter in denoiser.unet.parameters())


def test_a_spatial_loss_that_breaks_changes_neither_embedding_nor_lora() -> None:
    def spoil(prediction: Tensor, call: int) -> Tensor:
        return prediction * (math.nan if prediction.shape[2] == 1 and call > 4 else 1)

    def kept() -> list[Tensor]:
        assert state.spatial is not None
        return [t.detach().clone() for t in (*state.embedding.tensors.values(), *state.spatial.tensors.values())]

    state, last = begin(TrainingSettings(steps=20, loss="hybrid")), []
    with pytest.raises(MotionError, match=r"^The spatial loss became nan at step \d+: lower learning_rate"):
        for _ in train(Watched(tiny_denoiser(), spoil), CLIP, text(), state):
            last = kept()
    assert last and len(state.losses) == state.step
    assert all(torch.equal(now, before) for now, before in zip(kept(), last, strict=True))


def test_other_losses_have_none() -> None:
    for name in sorted({*LOSSES} - {*SPATIAL}):
        denoiser = Watched(tiny_denoiser())
        state = finish(begin(TrainingSettings(steps=2, loss=name)), denoiser)
        assert state.spatial is None and len(denoiser.latents) == 2


def test_models_it_does_not_suit() -> None:
    denoiser = Watched(tiny_denoiser())
    denoiser.spatial_linears = dict  # type: ignore[method-assign]
    with pytest.raises(MotionError, match="loss hybrid needs spatial transformers, and this model has none"):
        next(train(denoiser, CLIP, text(), begin(HYBRID)))
    state: TrainingState = begin(HYBRID)
    state.spatial = random_lora(UNet3DDenoiser(tiny_unet(block_out_channels=(16, 16)), tiny_denoiser().process))
    with pytest.raises(MotionError, match="holds a spatial LoRA for another model"):
        next(train(tiny_denoiser(), CLIP, text(), state))
