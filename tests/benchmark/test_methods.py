"""Every method on a small model: what all must do, and what each is by its formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from motion_lib.backbones import VideoModel
from motion_lib.benchmark.cases import crossed_case
from motion_lib.benchmark.methods import METHODS, USUAL, Method, Reference, Request, adapters
from motion_lib.benchmark.methods.adapters import AdaptedDenoiser, Adapter, AdapterLearner
from motion_lib.benchmark.methods.base import generate
from motion_lib.benchmark.methods.feature_guidance import FeatureGuidance, difference_loss, spatial_marginal_mean
from motion_lib.benchmark.methods.motion_inversion import MotionInversion
from motion_lib.benchmark.methods.spec import chosen_methods, settings_of
from motion_lib.benchmark.methods.temporal_finetuning import TemporalFinetuning
from motion_lib.benchmark.methods.temporal_lora import SPATIAL, TEMPORAL, TemporalLoRA
from motion_lib.codes.from_clip import STEPS_FROM_CODES
from motion_lib.codes.reader import Reader
from motion_lib.errors import MotionError
from motion_lib.training.learner import LearningState
from motion_lib.training.linear_changes import changed, new_lora, no_change
from motion_lib.training.loop import TrainingRun, train_together
from motion_lib.training.losses import LOSSES
from motion_lib.training.settings import TrainingSettings

FROM_CODES = ("one_pass", "from_codes")  # which need an encoder of the model
BASELINES = ("temporal_lora", "temporal_finetuning", "feature_guidance")


def quick(name: str) -> Method:
    """A method in few steps, at a site that a model of four levels has."""
    own = settings_of(METHODS[name])
    changes = {"steps": 2, "iterations": 2, "site": "up_blocks.1"}
    spec = ",".join(f"{key}={value}" for key, value in changes.items() if key in own)
    return next(iter(chosen_methods([f"{name}:{spec}" if spec else name]).values()))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FROM_CODES])
def test_contract(name: str, model: VideoModel, reference: Reference, request_: Request) -> None:
    unet = model.denoiser.unet  # pyright: ignore[reportAttributeAccessIssue]
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    method = quick(name)
    learned = method.learn(model, reference)
    latents = method.sample(model, reference, learned, request_)
    assert latents.shape == request_.fresh.shape and torch.isfinite(latents).all()
    assert torch.equal(latents, method.sample(model, reference, learned, request_)), "the same seeds, the same video"
    assert all(isinstance(tensor, torch.Tensor) for tensor in method.shared(reference, learned).values())
    after = unet.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert not any(module._forward_hooks for module in unet.modules())
    assert not any(parameter.requires_grad for parameter in unet.parameters())
    assert hash(method.recipe) == hash(quick(name).recipe)


def test_the_usual_methods_exist_and_those_that_differ_only_in_use_learn_once() -> None:
    assert set(USUAL) <= METHODS.keys()
    own, otherwise, longer = chosen_methods(["object", "object:end=0.9,noise_weight=1", "object:steps=9"]).values()
    assert own.recipe == otherwise.recipe != longer.recipe
    assert METHODS["object"].recipe != METHODS["v_only"].recipe != METHODS["published"].recipe


def test_clips_learned_together_are_learned_as_each_alone(model: VideoModel, reference: Reference) -> None:
    method = quick("object")
    assert isinstance(method, MotionInversion) and method.together
    other = replace(reference, latents=reference.latents.flip(2))
    together = method.learn_together(model, [reference, other])
    for embedding, each in zip(together, (reference, other), strict=True):
        alone = method.learn(model, each)
        for key, tensor in alone.tensors.items():
            assert (embedding.tensors[key] - tensor).abs().median() < 1e-4 < tensor.abs().median()
    assert not chosen_methods(["object:loss=hybrid"])["object:loss=hybrid"].together  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BASELINES[:2])
def test_what_has_not_learned_changes_nothing(
    name: str, model: VideoModel, reference: Reference, request_: Request
) -> None:
    method = next(iter(chosen_methods([f"{name}:steps=1,learning_rate=1e-30,noise_weight=0"]).values()))
    latents = method.sample(model, reference, method.learn(model, reference), request_)
    plain = generate(model, request_, request_.fresh)
    torch.testing.assert_close(latents, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rank", [None, 3])
def test_a_change_acts_as_the_changed_weight(rank: int | None) -> None:
    layer = torch.nn.Linear(6, 5)
    generator = torch.Generator().manual_seed(0)
    tensors = no_change({"it": layer}) if rank is None else new_lora({"it": layer}, rank, generator)
    tensors = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in tensors.items()}
    delta = tensors["it.change"] if rank is None else tensors["it.up"] @ tensors["it.down"]
    x = torch.randn(4, 6)
    with changed({"it": layer}, tensors):
        inside = layer(x)
    torch.testing.assert_close(inside, torch.nn.functional.linear(x, layer.weight + delta, layer.bias))
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_fitting_lowers_the_loss_and_the_look_takes_its_share(model: VideoModel, reference: Reference) -> None:
    denoiser = AdaptedDenoiser(model)
    text = model.encode_prompt([reference.case.prompt])
    settings = TrainingSettings(steps=12, learning_rate=3e-2, timesteps=(600, 601))
    layers = denoiser.linears(TEMPORAL, lambda name: name.endswith(".to_v"))
    spatial = denoiser.linears("Transformer2DModel", lambda name: ".attn1." in name)
    assert layers and spatial and not layers.keys() & spatial.keys()
    noise = torch.randn(reference.latents.shape, generator=torch.Generator().manual_seed(9))
    at = torch.tensor([600])
    noisy = denoiser.process.noisy(reference.latents, noise, at)
    target = denoiser.process.target(reference.latents, noise, at)

    def loss(adapter: Adapter) -> float:
        with torch.no_grad(), denoiser.having(adapter):
            return float((denoiser(noisy, at, text) - target).square().mean())

    learner = AdapterLearner.start(denoiser, layers, settings, model.device)
    start = new_lora(spatial, 2, torch.Generator().manual_seed(0))
    look = AdapterLearner.start(denoiser, spatial, settings, model.device, start)
    before = loss(learner.adapter)
    assert loss(learner.fit(reference.latents, text, look)) < 0.98 * before
    assert all(bool(tensor.any()) for tensor in look.tensors.values())


@pytest.mark.parametrize("recorded", [False, True])
def test_fitting_is_the_loop_of_the_papers(
    recorded: bool, model: VideoModel, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit as a loop of its own here. Recording, which needs a GPU, is stood in for by what it records: a
    function of its inputs alone."""
    denoiser, latents = AdaptedDenoiser(model), reference.latents
    text, schedule = model.encode_prompt([reference.case.prompt]), model.denoiser.process
    settings = TrainingSettings(steps=4, learning_rate=3e-3, loss="debiased", timesteps=(400, 999), final_rate=0.1)
    temporal, spatial = (denoiser.linears(kind, lambda name: ".attn1." in name) for kind in (TEMPORAL, SPATIAL))
    starts = [new_lora(layers, 2, torch.Generator().manual_seed(i)) for i, layers in enumerate((temporal, spatial))]
    both = [{name: tensor.clone().requires_grad_() for name, tensor in start.items()} for start in starts]
    optimizer = settings.optimizer(tensor for tensors in both for tensor in tensors.values())
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(4):
        optimizer.param_groups[0]["lr"] = settings.rate(step)
        t = settings.draw_timesteps(1, schedule, generator)
        noise = torch.randn(latents.shape, generator=generator)
        noisy, target = schedule.noisy(latents, noise, t), schedule.target(latents, noise, t)
        i = int(torch.randint(latents.shape[2], (), generator=generator))
        optimizer.zero_grad()
        with changed(spatial, both[1]):
            loss = (denoiser(noisy[:, :, i : i + 1], t, text) - target[:, :, i : i + 1]).square().mean()
            loss.backward()
        still = {name: tensor.detach() for name, tensor in both[1].items()}
        with changed(temporal, both[0]), changed(spatial, still):
            LOSSES["debiased"](denoiser(noisy, t, text), target, generator).backward()
        optimizer.step()

    kinds = []

    class Recorded:
        def __init__(self, function, inputs):
            self.function = function
            kinds.append([x.requires_grad for x in inputs])

        def __call__(self, *inputs):
            return self.function(*inputs)

    if recorded:
        monkeypatch.setattr(adapters, "Graphed", Recorded)
        denoiser.records = True
    learner, look = (
        AdapterLearner.start(denoiser, layers, settings, model.device, start)
        for layers, start in zip((temporal, spatial), starts, strict=True)
    )
    learner.fit(latents, text, look)
    for found, expected in zip((learner, look), both, strict=True):
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.items())
    learning = [True] * len(both[0]), [True] * len(both[1])
    passes = [[False] * 3 + learning[1], [False] * (3 + len(both[1])) + learning[0]]
    assert kinds == (passes if recorded else [])


def test_adapters_learn_alone(model: VideoModel, reference: Reference) -> None:
    denoiser, settings = AdaptedDenoiser(model), TrainingSettings(steps=1)
    layers, text = denoiser.linears(TEMPORAL, lambda name: True), model.encode_prompt([reference.case.prompt])
    runs = []
    for _ in range(2):
        learner = AdapterLearner.start(denoiser, layers, settings, model.device)
        runs.append(TrainingRun(reference.latents, text, LearningState(learner, settings, torch.Generator())))
    with pytest.raises(MotionError, match="changes layers of the model cannot share a batch: learn each clip alone"):
        train_together(denoiser, runs)


def test_temporal_layers_are_those_the_papers_name(model: VideoModel) -> None:
    lora = TemporalLoRA(TrainingSettings(steps=1)).learn(model, _any_reference(model))
    names = set(lora.layers)
    assert all(".transformer_blocks." in name for name in names)
    assert {name.rsplit(".transformer_blocks.0.")[1].split(".")[0] for name in names} == {"attn1", "attn2", "ff"}
    tuned = TemporalFinetuning(TrainingSettings(steps=1)).learn(model, _any_reference(model))
    assert {name.rsplit(".", 1)[1] for name in tuned.layers} == {"to_q", "to_k", "to_v"}


def _any_reference(model: VideoModel) -> Reference:
    from motion_lib.benchmark.cases import rendered_case

    case = rendered_case("pan", prompts=1, frames=2, size=16)
    latents = model.encode_video(case.frames)
    return Reference(case, latents, torch.zeros_like(latents))


def test_difference_loss_by_its_sums() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(2, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = 0.0
    for video in range(2):
        for i in range(4):
            for j in range(4):
                off = (a[video, i] - a[video, j]) - (b[video, i] - b[video, j])
                expected += float(off.square().sum()) / 16
    assert float(difference_loss(a, b)) == pytest.approx(expected)
    assert float(difference_loss(a, a + 7)) == pytest.approx(0, abs=1e-12), "what all frames share does not count"
    features = torch.randn(6, 5, 2, 3, generator=generator)
    means = spatial_marginal_mean(features, 3)
    assert means.shape == (2, 3, 5) and float(means[1, 2, 4]) == pytest.approx(float(features[5, 4].mean()))


def test_guidance_brings_the_features_closer(model: VideoModel, reference: Reference, request_: Request) -> None:
    denoiser, method = AdaptedDenoiser(model), FeatureGuidance(site="up_blocks.1", rate=0.05, iterations=8)
    text, empty = model.encode_prompt(list(request_.prompts)), model.encode_prompt([""])
    t = denoiser.process.timesteps(3)[0]
    wanted = method._features(denoiser, reference.inverted, empty, [t])[t]
    pulled = method._guided(denoiser, request_.fresh, t, text, wanted)
    own = [method._features(denoiser, x[:1], text[:1], [t])[t] for x in (request_.fresh, pulled)]
    before, after = (float(difference_loss(features, wanted)) for features in own)
    assert after < 0.9 * before
    with pytest.raises(MotionError, match="no such module"):
        FeatureGuidance(site="nowhere").sample(model, reference, None, request_)


@pytest.mark.parametrize("name", FROM_CODES)
def test_models_without_an_encoder_are_refused(name: str, model: VideoModel, reference: Reference) -> None:
    with pytest.raises(MotionError, match="none comes with tiny"):
        METHODS[name].learn(model, reference)


@pytest.mark.usefixtures("encoder")
def test_one_pass_reads(model: VideoModel, reference: Reference, request_: Request) -> None:
    method = METHODS["one_pass"]
    learned = method.learn(model, reference)
    latents = method.sample(model, reference, learned, request_)
    assert latents.shape == request_.fresh.shape and torch.isfinite(latents).all()
    plain = METHODS["no_motion"].sample(model, reference, None, request_)
    assert float((latents - plain).abs().max()) > 1e-4
    assert method.shared(reference, learned) == learned.embedding.tensors


def test_of_two_clips_the_object_of_one_and_the_camera_of_the_other_are_read(
    model: VideoModel, encoder: Reader, request_: Request
) -> None:
    case = crossed_case("figure_eight", "pan", prompts=2, frames=4, size=32)
    latents = model.encode_video(case.frames)
    pair = Reference(case, latents, torch.full_like(latents, float("nan")))  # what shows both together is not seen
    method = METHODS["one_pass"]
    learned = method.learn(model, pair)
    own, other = (encoder.read(part.frames) for part in case.parts)
    expected = encoder.embedding(own.crossed(other), "hybrid")
    assert all(torch.equal(learned.embedding.tensors[key], m) for key, m in expected.tensors.items())
    assert torch.equal(learned.camera.shift, other.camera.shift)
    assert torch.isfinite(method.sample(model, pair, learned, request_)).all()


@pytest.mark.usefixtures("encoder")
def test_training_from_codes_begins_with_what_was_read(model: VideoModel, reference: Reference) -> None:
    begun, nothing = (next(iter(chosen_methods([name]).values())) for name in ("from_codes", "object"))
    assert isinstance(begun, MotionInversion) and isinstance(nothing, MotionInversion)
    assert begun.preset.settings.steps == STEPS_FROM_CODES and begun.recipe != nothing.recipe
    assert any(bool(m.any()) for key, m in begun.start(model, reference).tensors.items() if key.endswith(".v"))
    assert not any(bool(m.any()) for key, m in nothing.start(model, reference).tensors.items() if key.endswith(".v"))
