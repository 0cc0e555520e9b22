"""How an embedding becomes what attention adds: debias variants, strengths, resampling, and when it acts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.integration import INTEGRATIONS
from motion_lib.method.patch import DEBIAS, MotionPatch, PreparedPatch, windowed_difference
from tests.tiny import randn, random_embedding, tiny_backbone

SITE = "up_blocks.1.temp_attentions.0"
# Frames of one position and one channel, and what each variant makes of them.
FRAMES = [3.0, 5.0, 4.0, 0.0]
BY_HAND = {
    "vanilla": [3.0, 5.0, 4.0, 0.0],
    "normalize": [0.0, 2.0, 1.0, -3.0],
    "difference": [3.0, 2.0, -1.0, -4.0],
    "difference3": [3.0, 2.0, 0.0, -4.5],  # 4 − (3 + 5)/2 and 0 − (5 + 4)/2
    "difference5": [3.0, 2.0, 0.0, -4.0],  # 0 − (3 + 5 + 4)/3
}


@pytest.mark.parametrize("name", DEBIAS)
def test_debias_by_hand(name: str) -> None:
    """Along frames only: positions and channels, here multiples of the first, keep apart."""
    factors = torch.tensor([1.0, -2.0])[:, None, None] * torch.tensor([1.0, 10.0, 0.0])
    m = torch.tensor(FRAMES)[None, :, None] * factors
    expected = torch.tensor(BY_HAND[name])[None, :, None] * factors
    torch.testing.assert_close(DEBIAS[name](m), expected)


@pytest.mark.parametrize("name", DEBIAS)
def test_debias_contract(name: str) -> None:
    """Linear, of the same shape, and without touching its input; one frame is allowed."""
    a, b = randn(6, 5, 4, dtype=torch.float64), randn(6, 5, 4, seed=1, dtype=torch.float64)
    before, debias = a.clone(), DEBIAS[name]
    torch.testing.assert_close(debias(2 * a - 3 * b), 2 * debias(a) - 3 * debias(b))
    assert torch.equal(a, before) and debias(a).shape == a.shape
    assert debias(a[:, :1]).shape == (6, 1, 4)


def test_what_does_not_change_over_time_goes_from_every_frame_but_the_first() -> None:
    constant = randn(6, 1, 4).expand(6, 5, 4)
    assert DEBIAS["difference"](constant)[:, 1:].abs().max() == 0
    assert torch.equal(DEBIAS["difference"](constant)[:, 0], constant[:, 0])
    assert DEBIAS["normalize"](constant).abs().max() < 1e-6


@pytest.mark.parametrize("name", DEBIAS)
def test_debias_and_gamma_act_on_the_value_embedding_only(name: str) -> None:
    embedding = random_embedding(tiny_backbone(), SITE)
    ready = MotionPatch(embedding, 0.5, 3.0, name).prepare(3, (5, 6), "cpu", torch.float32)
    assert torch.equal(ready.query_key[SITE], 0.5 * embedding.tensors[f"{SITE}.qk"])
    for attention in ("attn1", "attn2"):
        m = embedding.tensors[f"{SITE}.{attention}.v"]
        expected = m - m.mean(1, keepdim=True) if name == "normalize" else m.clone()
        if window := {"difference": 2, "difference3": 3, "difference5": 5}.get(name):
            for j in range(1, 3):
                expected[:, j] = m[:, j] - m[:, max(0, j - window + 1) : j].mean(dim=1)
        torch.testing.assert_close(ready.value[SITE, attention], 3 * expected)


@given(frames=st.integers(1, 9), window=st.integers(2, 9))
def test_windowed_difference_of_any_length(frames: int, window: int) -> None:
    m = randn(4, frames, 3, dtype=torch.float64)
    found = windowed_difference(m, window)
    assert torch.equal(found[:, 0], m[:, 0])
    for j in range(1, frames):
        torch.testing.assert_close(found[:, j], m[:, j] - m[:, max(0, j - window + 1) : j].mean(dim=1))
    if window == 2:
        torch.testing.assert_close(found, DEBIAS["difference"](m))
    constant = m[:, :1].expand(-1, frames, -1)
    assert windowed_difference(constant, window)[:, 1:].abs().sum() < 1e-12


def test_preparing_resamples_before_debiasing() -> None:
    """A ramp stays a ramp when it is stretched, so its differences shrink with the step between frames."""
    ramp = MotionEmbedding.zeros(tiny_backbone(), SITE, 3, (5, 6))
    ramp.tensors[f"{SITE}.attn1.v"] += torch.arange(3.0)[:, None]
    ready = MotionPatch(ramp, debias="difference").prepare(5, (5, 6), "cpu", torch.float32)
    assert ready.value[SITE, "attn1"][0, :, 0].tolist() == pytest.approx([0, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_prepared_in_the_dtype_of_the_model(dtype: torch.dtype) -> None:
    ready = MotionPatch(random_embedding(tiny_backbone())).prepare(3, (5, 6), "cpu", dtype)
    assert {t.dtype for t in (*ready.query_key.values(), *ready.value.values())} == {dtype}


@pytest.mark.parametrize("components", ["qk", "v"])
def test_absent_parts_are_left_out(components: str) -> None:
    ready = MotionPatch(random_embedding(tiny_backbone(), components=components)).prepare(
        3, (5, 6), "cpu", torch.float32
    )
    assert bool(ready.query_key) == (components == "qk") and bool(ready.value) == (components == "v")


def test_layers_without_an_embedding_get_their_input_back() -> None:
    hidden, empty = randn(30, 3, 8), PreparedPatch()
    assert empty.query_key_input(SITE, hidden) is hidden and empty.value_input(SITE, "attn1", hidden) is hidden


def test_value_input_repeats_for_every_video() -> None:
    m, hidden = randn(4, 3, 2), randn(8, 3, 2, seed=1)
    found = PreparedPatch(value={("a", "attn1"): m}).value_input("a", "attn1", hidden)
    assert torch.equal(found, hidden + torch.cat([m, m]))


@pytest.mark.parametrize(
    ("start", "end", "acting"),
    [(0.0, 1.0, [0, 0.5, 1]), (0.0, 0.5, [0, 0.5]), (0.6, 1.0, [1]), (0.5, 0.5, [0.5]), (1.0, 1.0, [1])],
)
def test_when_it_acts(start: float, end: float, acting: list[float]) -> None:
    patch = MotionPatch(random_embedding(tiny_backbone(), SITE), start=start, end=end)
    assert [p for p in (0, 0.5, 1) if patch.acts_at(p)] == acting


def test_curves_over_frames_multiply_what_acts_there() -> None:
    embedding = random_embedding(tiny_backbone(), SITE, frames=5)
    curve = ((0.0, 1.0), (0.5, 0.0), (1.0, -2.0))
    plain = MotionPatch(embedding, 0.5, 2.0, "difference").prepare(5, (5, 6), "cpu", torch.float32)
    curved = MotionPatch(embedding, 0.5, 2.0, "difference", frame_curve=curve).prepare(5, (5, 6), "cpu", torch.float32)
    factors = torch.tensor([1.0, 0.5, 0.0, -1.0, -2.0])[:, None]
    torch.testing.assert_close(curved.query_key[SITE], factors * plain.query_key[SITE])
    for key, m in plain.value.items():
        torch.testing.assert_close(curved.value[key], factors * m)


def test_curves_over_sampling_scale_both_strengths() -> None:
    embedding = random_embedding(tiny_backbone(), SITE)
    patch = MotionPatch(embedding, end=0.8, curve=((0.2, 1.0), (0.4, 0.5), (0.6, 0.0)))
    ready = patch.prepare(3, (5, 6), "cpu", torch.float32)
    assert patch.at(ready, 0.1) is ready and patch.at(ready, 0.6) is None and patch.at(ready, 0.9) is None
    half = patch.at(ready, 0.4)
    assert half is not None and half.integration == ready.integration
    assert torch.equal(half.query_key[SITE], 0.5 * ready.query_key[SITE])
    assert all(torch.equal(half.value[key], 0.5 * m) for key, m in ready.value.items())
    assert not patch.constant and MotionPatch(embedding).constant
    always = MotionPatch(embedding)
    assert all(always.at(ready, p) is ready for p in (0.0, 0.5, 1.0))


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_a_window_takes_the_rows_of_its_frames(integration: str) -> None:
    """As ComfyUI's context windows do: the motion is prepared for the whole video."""
    embedding = random_embedding(tiny_backbone(), SITE, integration=integration, qk_axes="full")
    whole = MotionPatch(embedding).prepare(8, (5, 6), "cpu", torch.float32)
    rows = [5, 6, 7, 0]
    part = whole.window(torch.tensor(rows))
    assert part.integration == integration
    assert torch.equal(part.query_key[SITE], whole.query_key[SITE][:, rows])
    assert all(torch.equal(part.value[key], m[:, rows]) for key, m in whole.value.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"debias": "blur"}, "debias is 'blur', .* vanilla, normalize, difference"),
        ({"start": -0.1}, "0 ≤ start ≤ end ≤ 1"),
        ({"start": 0.7, "end": 0.3}, "start 0.7 and end 0.3"),
        ({"end": math.nan}, "end nan"),
        ({"strength_qk": math.inf}, "strength_qk is inf"),
        ({"strength_v": math.nan}, "strength_v is nan"),
        (
            {"curve": ((0.5, 1.0), (0.5, 2.0))},
            r"curve has the positions \[0.5, 0.5\], but they must ascend from 0 to 1",
        ),
        ({"frame_curve": ((0.0, math.nan),)}, r"frame_curve has the factors \[nan\]"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(MotionError, match=message):
        MotionPatch(random_embedding(tiny_backbone(), SITE), **options)
