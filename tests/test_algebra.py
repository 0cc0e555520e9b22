"""The algebra of motions: identities that hold exactly, values by hand, and what does not fit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method import algebra, editing, joining
from motion_lib.method.application import usual_patch
from motion_lib.method.embedding import MAP, QK_AXES, V_AXES, Backbone, MotionEmbedding, Site, stack
from motion_lib.method.integration import INTEGRATIONS
from motion_lib.method.patch import DEBIAS, MotionPatch, PreparedPatch
from motion_lib.method.placement import placed
from tests.tiny import randn, random_embedding, said_by, saying, tiny_backbone

SITE = "down_blocks.0.temp_attentions.0"
V = f"{SITE}.attn1.v"
KINDS = st.fixed_dictionaries(
    {
        "integration": st.sampled_from(list(INTEGRATIONS)),
        "qk_axes": st.sampled_from(list(QK_AXES)),
        "v_axes": st.sampled_from(list(V_AXES)),
    }
)
WIDE = stack("wan", 12, 3)
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def motion(frames: int = 3, size: tuple[int, int] = (5, 6), seed: int = 1, **choices) -> MotionEmbedding:
    return random_embedding(tiny_backbone(), SITE, frames, size, seed=seed, **choices)


def rows(*values: float) -> MotionEmbedding:
    """One position, whose value embedding is `values` over the frames, in every channel."""
    zeros = MotionEmbedding.zeros(tiny_backbone(), SITE, len(values), (1, 1), "v")
    return zeros.with_tensors(
        {k: torch.tensor(values)[None, :, None].expand(t.shape) for k, t in zeros.tensors.items()}
    )


def values(embedding: MotionEmbedding) -> list[float]:
    return embedding.tensors[V][0, :, 0].tolist()


def same(a: MotionEmbedding, b: MotionEmbedding) -> bool:
    return a.tensors.keys() == b.tensors.keys() and all(torch.equal(m, b.tensors[k]) for k, m in a.tensors.items())


def close(a: MotionEmbedding, b: MotionEmbedding) -> None:
    torch.testing.assert_close(a.tensors, b.tensors, rtol=1e-4, atol=1e-5)


def acting(embedding: MotionEmbedding, frames: int = 3, size: tuple[int, int] = (5, 6)) -> PreparedPatch:
    return usual_patch(embedding).prepare(frames, size, "cpu", torch.float32)


@given(frames=st.integers(1, 5), size=SIZES, choices=KINDS, axis=st.sampled_from(list(algebra.MIRRORS)))
def test_mirroring_and_reversing_twice_are_the_identity(frames, size, choices, axis) -> None:
    m = motion(frames, size, **choices)
    assert same(algebra.reverse(algebra.reverse(m)), m)
    if any(len(t) > 1 for k, t in m.tensors.items() if not k.endswith(MAP)):
        assert same(algebra.mirror(algebra.mirror(m, axis), axis), m)
        assert same(algebra.mirror(algebra.reverse(m), axis), algebra.reverse(algebra.mirror(m, axis)))


def test_mirrored_grids_by_hand() -> None:
    m = MotionEmbedding.zeros(tiny_backbone(), SITE, 1, (2, 3), "v")
    m = m.with_tensors({k: torch.arange(6.0)[:, None, None].expand(t.shape) for k, t in m.tensors.items()})
    assert algebra.mirror(m).tensors[V][:, 0, 0].tolist() == [2, 1, 0, 5, 4, 3]
    assert algebra.mirror(m, "vertical").tensors[V][:, 0, 0].tolist() == [3, 4, 5, 0, 1, 2]


def test_moved_grids_by_hand() -> None:
    """By whole positions, by half of one, beyond the edge, and spread about the middle."""
    m = MotionEmbedding.zeros(tiny_backbone(), SITE, 1, (2, 4), "v")
    m = m.with_tensors({k: torch.arange(8.0)[:, None, None].expand(t.shape) for k, t in m.tensors.items()})

    def moved(*to: float) -> list[float]:
        return algebra.place(m, *to).tensors[V][:, 0, 0].tolist()

    assert moved(0.25) == pytest.approx([0, 0, 1, 2, 4, 4, 5, 6])
    assert moved(0.0, -0.5) == pytest.approx([4, 5, 6, 7, 4, 5, 6, 7])
    assert moved(0.125) == pytest.approx([0, 0.5, 1.5, 2.5, 4, 4.5, 5.5, 6.5])
    assert moved(0.0, 0.0, 2.0) == pytest.approx([1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.25])
    assert same(algebra.place(m), m)
    assert algebra.place(m, 0.25).origin.made_from[-1].arguments == {"right": 0.25, "down": 0.0, "zoom": 1.0}


def test_where_the_thing_begins_and_ends_goes_along() -> None:
    m = motion()
    start, end = (0.2, 0.4, 0.1), (0.7, 0.5, 0.3)
    m = replace(m, origin=replace(m.origin, starts_at=start, ends_at=end))

    def spots(edited: MotionEmbedding) -> list[tuple[float, ...]]:
        return [tuple(round(v, 6) for v in spot) for spot in (edited.origin.starts_at, edited.origin.ends_at)]

    assert spots(algebra.mirror(m)) == [(0.8, 0.4, 0.1), (0.3, 0.5, 0.3)]
    assert spots(algebra.mirror(m, "vertical")) == [(0.2, 0.6, 0.1), (0.7, 0.5, 0.3)]
    assert spots(algebra.place(m, 0.1, -0.2, 2.0)) == [(0.0, 0.1, 0.2), (1.0, 0.3, 0.6)]
    assert spots(algebra.reverse(m)) == [end, start]
    assert spots(algebra.retime(m, 2.0)) == [start, end] and spots(algebra.retime(m, 0.5)) == [start, ()]
    assert spots(algebra.loop(m)) == [start, start]
    far = m
    for _ in range(6):
        far = algebra.place(far, zoom=10.0)
    assert spots(far) == [(), ()]


def test_one_motion_after_the_other_by_hand() -> None:
    """The last row of the first is the first of the second; differences are not taken across the seam."""
    a, b = rows(1.0, 2.0, 4.0), rows(7.0, 8.0)
    assert values(joining.chain(a, b)) == [1, 2, 4, 8]
    a, b = (replace(e, advice=replace(e.advice, debias="difference")) for e in (a, b))
    both = joining.chain(a, b)
    assert values(both) == [1, 1, 2, 1] and usual_patch(both).debias == "vanilla"


def test_the_second_motion_begins_where_the_first_ends() -> None:
    m = motion(3, v_axes="2d")
    a = replace(m, origin=replace(m.origin, starts_at=(0.1, 0.1, 0.2), ends_at=(0.5, 0.5, 0.2)))
    b = replace(motion(2, seed=2), origin=replace(m.origin, starts_at=(0.25, 0.75, 0.2), ends_at=(0.5, 0.75, 0.2)))
    both = joining.chain(a, b)
    torch.testing.assert_close(both.tensors[V][:, 3:], algebra.place(b, 0.25, -0.25).tensors[V][:, 1:])
    assert torch.equal(both.tensors[V][:, :3], a.tensors[V])
    assert both.origin.starts_at == a.origin.starts_at and both.origin.ends_at == pytest.approx((0.75, 0.5, 0.2))


@given(weight=st.floats(0, 1), frames=st.integers(1, 4), size=SIZES)
def test_concatenated_embeddings_stay_thin_and_mean_the_same(weight: float, frames: int, size: tuple[int, int]) -> None:
    zeros = [
        MotionEmbedding.zeros(WIDE, "all", f, s, integration="concatenate", rank=r)
        for f, s, r in ((3, (5, 6), 2), (frames, size, 3))
    ]
    a, b = (
        e.with_tensors({k: randn(*t.shape, seed=10 * i + j) for j, (k, t) in enumerate(e.tensors.items())})
        for i, e in enumerate(zeros)
    )
    for join in (lambda x, y: joining.blend(x, y, weight), joining.add, joining.subtract, joining.chain):
        thin, full = join(a, b), join(editing.formed(a), editing.formed(b))
        assert thin.integration == "concatenate" and len(thin.tensors[f"{WIDE.layers[0].name}.qk{MAP}"]) == 5
        close(editing.formed(thin), full)
    lacking = a.only(WIDE.layers[0].name)
    close(editing.formed(joining.add(lacking, b)), joining.add(editing.formed(lacking), editing.formed(b)))
    several = a
    for _ in range(4):
        several = joining.add(several, b)
    assert several.integration == "add"  # the ranks have come to the width


def test_a_motion_is_moved_from_its_own_thing_to_another() -> None:
    m = motion()
    with pytest.raises(MotionError, match="does not say where in its clip the thing is"):
        placed(m, (0.5, 0.5))
    assert same(placed(m, (0.6, 0.3), (0.5, 0.5)), algebra.place(m, 0.6 - 0.5, 0.3 - 0.5))
    known = replace(m, origin=replace(m.origin, starts_at=(0.2, 0.4, 0.1)))
    assert placed(known, (0.5, 0.5)).origin.starts_at == pytest.approx((0.5, 0.5, 0.1))


@pytest.mark.parametrize("to", [(1.1,), (0.0, -2.0), (0.0, 0.0, 0.0), (math.nan,), (0.0, 0.0, 11.0)])
def test_places_beyond_the_picture_are_refused(to: tuple[float, ...]) -> None:
    with pytest.raises(MotionError, match="but it can be moved by -1 to 1"):
        algebra.place(motion(), *to)


@given(frames=st.integers(1, 6), size=SIZES, to=st.integers(2, 9), to_size=SIZES, choices=KINDS)
def test_mirror_and_reverse_commute_with_resampling(frames, size, to, to_size, choices) -> None:
    """A single frame is the first one, so there are two or more."""
    m = motion(frames, size, **choices)
    close(algebra.reverse(m).resample(to, to_size), algebra.reverse(m.resample(to, to_size)))
    wide = {"qk_axes": "full", "v_axes": "2d"}
    if min(*size, *to_size) > 1:
        m = motion(frames, size, **{**choices, **wide})
        close(algebra.mirror(m).resample(to, to_size), algebra.mirror(m.resample(to, to_size)))


def test_reversed_differences_point_backwards_and_baked_ones_do_not() -> None:
    """Debias does not commute with reverse: the two ways differ by the sign of the steps and by which frame is kept."""
    m = rows(3.0, 5.0, 4.0, 0.0)
    difference = DEBIAS["difference"]
    assert difference(algebra.reverse(m).tensors[V])[0, :, 0].tolist() == [0, 4, 1, -2]
    assert values(algebra.reverse(algebra.baked(m, "difference"))) == [-4, -1, 2, 3]


def test_retime_by_hand() -> None:
    m = rows(0.0, 3.0, 12.0, 6.0, 9.0)
    assert values(algebra.retime(m, 2.0)) == [0, 12, 9, 9, 9]
    assert values(algebra.retime(m, 0.5)) == [0, 1.5, 3, 7.5, 12]
    assert values(algebra.retime(m, frames=9)) == [0, 1.5, 3, 7.5, 12, 9, 6, 7.5, 9]
    assert values(algebra.retime(m, 2.0, frames=3)) == [0, 9, 9]
    assert algebra.retime(m, frames=9).frames == 9


@given(frames=st.integers(1, 9), choices=KINDS, to=st.integers(1, 9))
def test_speed_one_is_the_identity_and_frames_are_those_of_resampling(frames, choices, to) -> None:
    m = motion(frames, **choices)
    assert same(algebra.retime(m, 1.0), m)
    close(algebra.retime(m, frames=to), m.resample(to, (5, 6)))


@given(frames=st.integers(1, 9), choices=KINDS, how=st.sampled_from(algebra.LOOPS), to=st.integers(1, 9))
def test_loops_end_where_they_began(frames, choices, how, to) -> None:
    """At every length that a video may have; the frame they begin with is the motion's own."""
    m = motion(frames, **choices)
    looped = algebra.loop(m, how)
    for key, tensor in looped.tensors.items():
        if not key.endswith(MAP):
            assert torch.equal(tensor[:, 0], m.tensors[key][:, 0]) and torch.equal(tensor[:, -1], tensor[:, 0])
            longer = looped.resample(to, (5, 6)).tensors[key]
            torch.testing.assert_close(longer[:, 0], longer[:, -1])
    if how == "there_and_back":
        assert same(algebra.reverse(looped), looped)
    else:
        close(algebra.loop(looped, how), looped)


def test_loops_by_hand() -> None:
    assert values(algebra.loop(rows(0.0, 1.0, 4.0, 9.0, 16.0))) == [0, 4, 16, 4, 0]
    assert values(algebra.loop(rows(1.0, 5.0, 7.0, 4.0, 3.0), "close")) == [1, 4.5, 6, 2.5, 1]


@given(choices=KINDS, frames=st.integers(1, 4), other=st.integers(1, 5), size=SIZES)
def test_sum_and_difference_undo_each_other(choices, frames, other, size) -> None:
    """Also of embeddings of other lengths and sizes; the result has the first's."""
    a, b = motion(frames, **choices), motion(other, size, seed=2, **choices)
    close(joining.subtract(joining.add(a, b), b), editing.formed(a))
    assert not any(t.any() for t in joining.subtract(a, a).tensors.values())
    total = joining.add(a, b)
    assert (total.frames, total.grids) == (a.frames, a.grids)
    if choices["integration"] == "add" and len(a.tensors[V]) == 30:
        torch.testing.assert_close(total.tensors[V], a.tensors[V] + b.resample(frames, (5, 6)).tensors[V])


@given(choices=KINDS)
def test_blend_begins_with_one_and_ends_with_the_other(choices) -> None:
    a, b = motion(**choices), motion(seed=2, **choices)
    if choices["integration"] != "concatenate":
        assert same(joining.blend(a, b, 0.0), a) and same(joining.blend(a, b, 1.0), b)
    for whole, weight in ((a, 0.0), (b, 1.0)):
        assert same(joining.blend(a, b, weight), editing.formed(whole))
    close(joining.blend(a, b, 0.25), joining.add(algebra.scale(a, 0.75), algebra.scale(b, 0.25)))
    close(joining.blend(a, b, 0.3), joining.blend(b, a, 0.7))


@given(choices=KINDS, qk=st.floats(-3, 3), v=st.floats(-3, 3))
def test_scaling_is_strength(choices, qk, v) -> None:
    m = motion(**choices)
    found = MotionPatch(algebra.scale(m, qk=qk, v=v)).prepare(3, (5, 6), "cpu", torch.float32)
    expected = MotionPatch(m, qk, v).prepare(3, (5, 6), "cpu", torch.float32)
    torch.testing.assert_close(found.query_key, expected.query_key)
    torch.testing.assert_close(found.value, expected.value)


def test_negative_and_zero_factors() -> None:
    m = motion()
    assert same(algebra.scale(algebra.scale(m, -2.0), -0.5), m)
    assert set(algebra.scale(m, v=0.0).tensors) == {f"{SITE}.qk"}
    assert algebra.scale(m, 0.0).tensors == {}


@given(choices=KINDS, name=st.sampled_from(list(DEBIAS)), frames=st.integers(1, 6))
def test_baked_acts_as_what_it_was_baked_from(choices, name, frames) -> None:
    """At the number of frames it was baked at."""
    apply = {"strength_qk": 0.5, "strength_v": -2.0, "debias": name, "end": 0.7}
    m = saying(motion(frames, **choices), {"apply": apply})
    baked = algebra.baked(m)
    assert usual_patch(baked).debias == "vanilla" and usual_patch(baked).end == 0.7
    found, expected = acting(baked, frames), acting(m, frames)
    torch.testing.assert_close(found.query_key, expected.query_key)
    torch.testing.assert_close(found.value, expected.value)


def test_baked_differences_keep_their_size_in_longer_videos() -> None:
    ramp = saying(rows(0.0, 1.0, 2.0), {"apply": {"debias": "difference"}})
    assert acting(ramp, 5, (1, 1)).value[SITE, "attn1"][0, :, 0].tolist() == [0, 0.5, 0.5, 0.5, 0.5]
    assert acting(algebra.baked(ramp), 5, (1, 1)).value[SITE, "attn1"][0, :, 0].tolist() == [0, 0.5, 1, 1, 1]


@given(choices=KINDS, height=st.integers(1, 40), width=st.integers(1, 40))
def test_masks(choices, height, width) -> None:
    """All of the picture changes nothing that acts, none of it leaves nothing; a mask and the rest make the whole."""
    m = motion(**choices)
    whole = acting(algebra.masked(m, torch.ones(height, width)))
    expected = acting(m)
    for key, value in expected.query_key.items():
        torch.testing.assert_close(whole.query_key[key], value.expand(30, -1, -1))
    for key, value in expected.value.items():
        torch.testing.assert_close(whole.value[key], value.expand(30, -1, -1))
    mask = randn(height, width).sigmoid()
    parts = joining.add(algebra.masked(m, mask), algebra.masked(m, 1 - mask))
    close(parts, editing.formed(editing.on_axes(m, "full", "2d")))
    assert not any(t.any() for t in algebra.masked(m, torch.zeros(3, 3)).tensors.values() if t.shape[0] == 30)


def test_masked_cells_by_hand() -> None:
    """The share of each cell that the mask covers; nothing outside, in the query-key embedding either."""
    m = MotionEmbedding.zeros(tiny_backbone(), SITE, 1, (2, 2))
    m = m.with_tensors({k: torch.ones_like(t) for k, t in m.tensors.items()})
    mask = torch.zeros(4, 4)
    mask[:3, :2] = 1
    found = algebra.masked(m, mask)
    assert found.qk_axes == "full"
    for tensor in found.tensors.values():
        assert tensor[:, 0, 0].tolist() == [1, 0, 0.5, 0]


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_combine_takes_each_part_from_one(integration: str) -> None:
    a = saying(
        motion(5, integration=integration, qk_axes="partial"),
        {"title": "camera", "apply": {"strength_qk": 0.5, "debias": "vanilla", "end": 1.0}},
    )
    b = saying(
        motion(3, (4, 4), seed=2, integration=integration, v_axes="1d"),
        {"title": "object", "apply": {"strength_v": 0.3, "debias": "difference", "end": 0.4}},
    )
    both = joining.combine(a, b)
    assert (both.qk_axes, both.v_axes, both.frames, both.grids) == ("partial", "1d", 5, a.grids)
    patch = usual_patch(both)
    assert (patch.strength_qk, patch.strength_v, patch.debias, patch.end) == (0.5, 0.3, "difference", 0.4)
    found = acting(both, 5)
    torch.testing.assert_close(found.query_key, acting(a, 5).query_key)
    expected = MotionPatch(b.resample(5, (5, 6)), strength_v=0.3, debias="difference")
    torch.testing.assert_close(found.value, expected.prepare(5, (5, 6), "cpu", torch.float32).value)
    assert said_by(both)["made_from"] == [{"edit": "combine", "v_of": {"title": "object"}}]


def test_concatenated_and_added_embeddings_join_as_added_ones() -> None:
    a, b = motion(integration="concatenate"), motion(seed=2)
    total = joining.add(a, b)
    assert total.integration == "add"
    torch.testing.assert_close(total.tensors[V], a.tensors[V] @ a.tensors[V + MAP] + b.tensors[V])


def test_what_only_one_has_is_kept() -> None:
    """Layers and kinds; spatial axes are the richer ones."""
    a = random_embedding(tiny_backbone(), "up_blocks.1.*", components="qk", qk_axes="partial")
    b = random_embedding(tiny_backbone(), "deep", components="v", seed=2)
    total = joining.add(a, b)
    assert set(total.layers) == {*a.layers, *b.layers} and total.qk_axes == "partial"
    assert all(torch.equal(m, total.tensors[k]) for e in (a, b) for k, m in e.tensors.items())
    assert not any(m.any() for k, m in total.tensors.items() if k not in a.tensors and k not in b.tensors)
    assert total.tensors.keys() == total.shapes().keys()


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_motions_learned_at_different_layers_make_files_that_can_be_read(tmp_path: Path, integration: str) -> None:
    """Where one of the two has nothing, zeros stand for it, which change nothing."""
    a = random_embedding(tiny_backbone(), "down_blocks.0.*", integration=integration)
    b = random_embedding(tiny_backbone(), "up_blocks.*", seed=2, integration=integration)
    for joined in (
        joining.combine(a, b),
        joining.add(a, b),
        joining.blend(algebra.scale(a, v=0), algebra.scale(b, qk=0)),
    ):
        save_embedding(tmp_path / "a.safetensors", joined, torch.float32)
        found = load_embedding(tmp_path / "a.safetensors")
        assert all(torch.equal(tensor, joined.tensors[key]) for key, tensor in found.tensors.items())
        assert set(found.grids) == {*a.grids, *b.grids}
    for part, wanted, other in (("qk", a, b), ("v", b, a)):
        joined = joining.combine(a, b).tensors
        assert all(torch.equal(joined[key], m) for key, m in wanted.tensors.items() if key.endswith(part))
        assert not any(joined[key].any() for key in other.tensors if key.removesuffix(MAP).endswith(part))


def test_what_would_fill_the_memory_is_refused() -> None:
    """A file of some kilobytes may name a grid of any size."""
    small = random_embedding(tiny_backbone(), "deep", components="qk")
    large = saying(replace(small, grids=dict.fromkeys(small.grids, (16_000, 16_000))), {"title": "a\x1b[2J"})
    whole = random_embedding(tiny_backbone(), "deep")
    for act in (
        lambda: algebra.masked(large, torch.ones(2, 2)),
        lambda: joining.blend(large, whole),
        lambda: algebra.retime(whole, frames=10**9),
        lambda: algebra.retime(whole, frames=10**30),
    ):
        with pytest.raises(MotionError, match=r"would grow from [\d,]+ to [\d,]+ values"):
            act()
    assert algebra.retime(whole, frames=100).frames == 100


def test_an_embedding_says_what_was_done() -> None:
    a = saying(motion(), {"title": "wave", "thumbnail": "data:", "fps": 8.0})
    b = saying(motion(seed=2), {"title": "jump", "seed": 3})
    found = joining.blend(algebra.reverse(a), algebra.mirror(b), 0.25)
    assert said_by(found) == {
        "title": "wave",
        "fps": 8.0,
        "made_from": [
            {"edit": "reverse"},
            {
                "edit": "blend",
                "weight": 0.25,
                "other": {"title": "jump", "made_from": [{"edit": "mirror", "axis": "horizontal"}]},
            },
        ],
    }
    assert not a.origin.made_from


OTHER = Backbone("unet3d", (Site(SITE, 99, 0, "down"),))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: algebra.mirror(m, "diagonal"), "axis to mirror is 'diagonal', but it must be one of horizontal"),
        (lambda m: algebra.mirror(motion(components="qk")), r"has no spatial axes \(query-key embeddings\)"),
        (lambda m: algebra.retime(m, 0.0), "speed is 0.0"),
        (lambda m: algebra.retime(m, -1.0), "see also reverse"),
        (lambda m: algebra.retime(m, math.nan), "speed is nan"),
        (lambda m: algebra.retime(m, frames=0), "frames 0"),
        (lambda m: algebra.loop(m, "round"), "way to loop is 'round', but it must be one of there_and_back, close"),
        (lambda m: algebra.scale(m, math.inf), "must be finite"),
        (lambda m: joining.blend(m, m, math.nan), "weight to blend with is nan"),
        (lambda m: algebra.baked(m, "blur"), "debias is 'blur'"),
        (lambda m: algebra.masked(m, torch.ones(3)), r"mask of shape \[3\]"),
        (lambda m: algebra.masked(m, torch.full((2, 2), 2.0)), "values from 0 to 1"),
        (lambda m: algebra.masked(m, torch.full((2, 2), math.nan)), "values from 0 to 1"),
        (lambda m: joining.combine(motion(components="v"), m), "holds no query-key embeddings, only value embeddings"),
        (lambda m: joining.combine(m, motion(components="qk")), "holds no value embeddings"),
        (
            lambda m: joining.add(m, random_embedding(OTHER)),
            "trained for different models .*8-16-32.* and .*99 channels",
        ),
        (
            lambda m: joining.add(m, motion(integration="multiply")),
            "integration add and .* has multiply: .*apply both instead",
        ),
    ],
)
def test_what_does_not_work_is_said(act, message: str) -> None:
    with pytest.raises(MotionError, match=message) as caught:
        act(motion())
    assert "\n" not in str(caught.value)
