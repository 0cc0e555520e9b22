"""Motion embeddings: sites and grids of ModelScope, resampling by hand-computed values, and what fits what."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.backbones.unet3d.denoiser import backbone_of
from motion_lib.errors import MotionError
from motion_lib.files.convert import MODELSCOPE
from motion_lib.method.embedding import THIRDS, Backbone, MotionEmbedding, Site
from tests.tiny import random_embedding, tiny_backbone

SITE = "down_blocks.0.temp_attentions.0"
DEEP = [f"down_blocks.2.temp_attentions.{i}" for i in range(2)] + [f"up_blocks.1.temp_attentions.{i}" for i in range(3)]


@lru_cache(maxsize=1)
def modelscope() -> Backbone:
    """Read off diffusers' model of the published size, without its 5 GB of weights."""
    with torch.device("meta"):
        return backbone_of(UNet3DConditionModel())


def test_sites_of_modelscope() -> None:
    backbone = modelscope()
    every = {layer.name: (layer.channels, layer.block) for layer in backbone.select("all")}
    expected = {}
    for level, width in enumerate((320, 640, 1280)):
        expected |= {f"down_blocks.{level}.temp_attentions.{i}": (width, "down") for i in range(2)}
        expected |= {f"up_blocks.{3 - level}.temp_attentions.{i}": (width, "up") for i in range(3)}
    assert every == expected and len(every) == 15
    assert [layer.name for layer in backbone.select("deep")] == DEEP
    assert {layer.channels for layer in backbone.select("deep")} == {1280}
    others = {layer.name: layer.block for layer in backbone.layers if layer.name not in expected}
    assert others == {"transformer_in": "in", "mid_block.temp_attentions.0": "mid"}
    assert backbone.describe() == "unet3d (320-512-640-1280 channels, 17 temporal layers)"


@pytest.mark.parametrize(
    ("size", "grids"),
    [
        ((40, 64), [(40, 64), (20, 32), (10, 16), (5, 8)]),
        ((45, 80), [(45, 80), (23, 40), (12, 20), (6, 10)]),
        ((50, 50), [(50, 50), (25, 25), (13, 13), (7, 7)]),
        ((10, 18), [(10, 18), (5, 9), (3, 5), (2, 3)]),
        ((1, 3), [(1, 3), (1, 2), (1, 1), (1, 1)]),
    ],
)
def test_grids_round_up_at_every_halving(size: tuple[int, int], grids: list[tuple[int, int]]) -> None:
    levels = {"transformer_in": 0, "mid_block.temp_attentions.0": 3}
    for level in range(3):
        levels |= {f"down_blocks.{level}.temp_attentions.{i}": level for i in range(2)}
        levels |= {f"up_blocks.{3 - level}.temp_attentions.{i}": level for i in range(3)}
    for layer in modelscope().layers:
        assert layer.grid(size) == grids[levels[layer.name]], layer.name


def test_zeros_have_the_shapes_of_the_paper() -> None:
    m = MotionEmbedding.zeros(modelscope(), "deep", 16, (40, 64))
    assert list(m.layers) == DEEP and m.frames == 16
    assert m.numel() == 5 * (1 + 2 * 10 * 16) * 16 * 1280 == 32_870_400
    assert m.tensors[f"{DEEP[0]}.qk"].shape == (1, 16, 1280)
    assert m.tensors[f"{DEEP[4]}.attn2.v"].shape == (160, 16, 1280)
    assert not any(t.any() for t in m.tensors.values())


@pytest.mark.parametrize(
    ("components", "kinds"), [("both", {"qk", "v"}), ("qk", {"qk"}), ("v", {"v"}), ("none", set())]
)
def test_components(components: str, kinds: set[str]) -> None:
    m = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6), components)
    assert {key.rpartition(".")[2] for key in m.tensors} == kinds
    assert len(m.tensors) == len(m.layers) * {"both": 3, "qk": 1, "v": 2, "none": 0}[components]


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("up_blocks.1.*", [f"up_blocks.1.temp_attentions.{i}" for i in range(3)]),
        ("transformer_in, mid_block*", ["transformer_in", "mid_block.temp_attentions.0"]),
        (DEEP[0], [DEEP[0]]),
    ],
)
def test_sites_by_name(sites: str, expected: list[str]) -> None:
    assert [layer.name for layer in modelscope().select(sites)] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sites": "nowhere"},
            "sites is 'nowhere', which matches no temporal layer of a unet3d model: use all, deep, coarse",
        ),
        ({"components": "q"}, "components is 'q', but it must be one of both, qk, v, none"),
        ({"integration": "mix"}, "integration is 'mix', but it must be one of add, concatenate, multiply"),
        ({"qk_axes": "2d"}, "qk_axes is '2d', but it must be one of none, partial, full"),
        ({"v_axes": "full"}, "v_axes is 'full', but it must be one of 2d, coarse, 1d"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(MotionError, match=message):
        MotionEmbedding.zeros(tiny_backbone(), **{"sites": "all", "frames": 3, "latent_size": (5, 6), **options})


@pytest.mark.parametrize("sites", ["all", "deep"])
def test_a_backbone_without_usual_layers(sites: str) -> None:
    with pytest.raises(MotionError, match="no temporal layers"):
        Backbone("unet3d", (Site("mid", 8, 1, "mid"),)).select(sites)


def one_layer(values: torch.Tensor, frames: int, size: tuple[int, int]) -> MotionEmbedding:
    """attn1.v and the first row of qk of one layer are `values` `[h·w, f]`, in channel 0 and doubled in channel 1."""
    zeros = MotionEmbedding.zeros(tiny_backbone(), SITE, frames, size, "both")
    v = torch.stack([values, 2 * values, *[torch.zeros_like(values)] * 6], dim=-1)
    return zeros.with_tensors({**zeros.tensors, f"{SITE}.attn1.v": v, f"{SITE}.qk": v[:1]})


def test_longer_in_time_by_hand() -> None:
    m = one_layer(torch.tensor([[0.0, 3.0, 12.0]]), 3, (1, 1)).resample(5, (1, 1))
    for key in (f"{SITE}.attn1.v", f"{SITE}.qk"):
        assert m.tensors[key][0, :, 0].tolist() == pytest.approx([0, 1.5, 3, 7.5, 12])
        assert m.tensors[key][0, :, 1].tolist() == pytest.approx([0, 3, 6, 15, 24])
    assert m.frames == 5 and m.grids == {SITE: (1, 1)}


def test_shorter_in_time_by_hand() -> None:
    m = one_layer(torch.tensor([[0.0, 2.0, 4.0, 8.0]]), 4, (1, 1)).resample(3, (1, 1))
    assert m.tensors[f"{SITE}.attn1.v"][0, :, 0].tolist() == pytest.approx([0, 3, 8])


def test_wider_grid_by_hand() -> None:
    """A row of two positions becomes four, at their half-pixel centres: outside the outer centres the edge is kept."""
    m = one_layer(torch.tensor([[0.0], [8.0]]), 1, (1, 2)).resample(1, (1, 4))
    assert m.tensors[f"{SITE}.attn1.v"][:, 0, 0].tolist() == pytest.approx([0, 2, 6, 8])
    assert m.tensors[f"{SITE}.qk"].shape == (1, 1, 8)


def test_rows_and_columns_of_the_grid_are_not_confused() -> None:
    """2 rows of 3 become 4 rows of 3: columns keep their values, rows are interpolated."""
    rows = torch.tensor([[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]])
    m = one_layer(rows.reshape(6, 1), 1, (2, 3)).resample(1, (4, 3))
    expected = torch.stack([rows[0], rows[0] + 2.5, rows[0] + 7.5, rows[1]])
    torch.testing.assert_close(m.tensors[f"{SITE}.attn1.v"][:, 0, 0].reshape(4, 3), expected)


def test_the_same_shape_is_the_same_object() -> None:
    m = random_embedding(tiny_backbone())
    assert m.resample(3, (5, 6)) is m


@given(
    frames=st.integers(1, 7),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    to_frames=st.integers(1, 9),
    to_height=st.integers(1, 9),
    to_width=st.integers(1, 9),
)
def test_resampling_any_shape(
    frames: int, height: int, width: int, to_frames: int, to_height: int, to_width: int
) -> None:
    """Shapes are those of a new embedding; values stay between the trained ones; constants stay constant; first and
    last frame are kept."""
    m = random_embedding(tiny_backbone(), "all", frames, (height, width))
    new = m.resample(to_frames, (to_height, to_width))
    fresh = MotionEmbedding.zeros(tiny_backbone(), "all", to_frames, (to_height, to_width))
    assert {k: t.shape for k, t in new.tensors.items()} == {k: t.shape for k, t in fresh.tensors.items()}
    assert new.grids == fresh.grids and new.frames == to_frames
    for key, tensor in new.tensors.items():
        assert tensor.min() >= m.tensors[key].min() - 1e-6 and tensor.max() <= m.tensors[key].max() + 1e-6
        if key.endswith(".qk"):
            assert torch.equal(tensor[:, 0], m.tensors[key][:, 0])
            if to_frames > 1:
                torch.testing.assert_close(tensor[:, -1], m.tensors[key][:, -1])
    ones = m.with_tensors({k: torch.ones_like(t) for k, t in m.tensors.items()})
    for tensor in ones.resample(to_frames, (to_height, to_width)).tensors.values():
        torch.testing.assert_close(tensor, torch.ones_like(tensor))


def test_resampling_to_nothing() -> None:
    with pytest.raises(MotionError, match="frames is 0"):
        random_embedding(tiny_backbone()).resample(0, (5, 6))


def test_detached_is_a_copy() -> None:
    m = random_embedding(tiny_backbone())
    live = m.with_tensors({k: t.clone().requires_grad_() for k, t in m.tensors.items()})
    copy = live.detached()
    with torch.no_grad():
        for tensor in live.tensors.values():
            tensor += 1
    assert all(torch.equal(copy.tensors[k], t) and not copy.tensors[k].requires_grad for k, t in m.tensors.items())


def test_check_fits_names_both_backbones() -> None:
    mine = random_embedding(tiny_backbone())
    mine.check_fits(tiny_backbone())
    with pytest.raises(MotionError) as caught:
        mine.check_fits(modelscope(), "a.safetensors")
    message = str(caught.value)
    assert message.startswith(
        "a.safetensors was trained for unet3d (8-16-32 channels, 8 temporal layers) and does not "
    )
    assert "unet3d (320-512-640-1280 channels, 17 temporal layers)" in message
    assert f"layer {SITE} has 8 channels, there it has 320" in message
    with pytest.raises(MotionError, match="there is no such layer there"):
        mine.check_fits(Backbone("unet3d", ()))


def test_a_model_with_more_layers_still_fits() -> None:
    layers = tiny_backbone().layers
    smaller = Backbone("unet3d", tuple(layer for layer in layers if layer.block != "mid"))
    random_embedding(smaller).check_fits(tiny_backbone())


def test_coarse_sites_are_those_with_few_positions() -> None:
    """At 512×320 ModelScope's five deepest; in a small picture all; never none."""
    wide, deep = MODELSCOPE.select("coarse", (40, 64)), MODELSCOPE.select("deep")
    assert wide == deep and len(deep) == 5
    assert MODELSCOPE.select("coarse", (12, 12)) == MODELSCOPE.select("all")
    assert MODELSCOPE.select("coarse", (400, 640)) == deep
    embedding = MotionEmbedding.zeros(tiny_backbone(), "all", 2, (20, 20))
    assert embedding.only("coarse").layers == tuple(layer.name for layer in tiny_backbone().select("coarse", (20, 20)))


def test_coarse_up_sites_are_the_coarse_ones_of_up_blocks() -> None:
    wide = MODELSCOPE.select("coarse", (40, 64))
    up = MODELSCOPE.select("coarse_up", (40, 64))
    assert up == tuple(layer for layer in wide if layer.block == "up") and len(up) == 3
    embedding = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (20, 20))
    kept = embedding.only("coarse_up")
    assert kept.layers == tuple(layer.name for layer in tiny_backbone().select("coarse_up", (20, 20)))
    down = embedding.only("down_blocks.*")
    with pytest.raises(MotionError, match="no such layer in an up block"):
        down.only("coarse_up")


@pytest.mark.parametrize(("qk_axes", "positions"), [("none", 1), ("partial", 16), ("full", 30)])
@pytest.mark.parametrize(("v_axes", "v_positions"), [("2d", 30), ("1d", 1)])
def test_every_tensor_lives_on_its_own_grid(qk_axes: str, positions: int, v_axes: str, v_positions: int) -> None:
    m = MotionEmbedding.zeros(tiny_backbone(), SITE, 3, (5, 6), qk_axes=qk_axes, v_axes=v_axes)
    assert {k.removeprefix(f"{SITE}."): tuple(t.shape) for k, t in m.tensors.items()} == {
        "qk": (positions, 3, 8),
        "attn1.v": (v_positions, 3, 8),
        "attn2.v": (v_positions, 3, 8),
    }
    moved = m.resample(4, (7, 8))
    assert moved.tensors[f"{SITE}.qk"].shape == ({"none": 1, "partial": 16, "full": 56}[qk_axes], 4, 8)
    assert moved.tensors[f"{SITE}.attn1.v"].shape == ({"2d": 56, "1d": 1}[v_axes], 4, 8)


def test_concatenated_tensors_have_a_map_that_is_zero_at_the_start() -> None:
    m = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6), integration="concatenate", seed=3)
    assert m.tensors[f"{SITE}.attn1.v"].shape == (30, 3, 32) and m.tensors[f"{SITE}.attn1.v.map"].shape == (32, 8)
    maps = {k: t for k, t in m.tensors.items() if k.endswith(".map")}
    assert len(maps) == 3 * len(m.layers) and not any(t.any() for t in maps.values())
    drawn = torch.cat([t.flatten() for k, t in m.tensors.items() if k not in maps])
    assert abs(float(drawn.mean())) < 0.01 and float(drawn.std()) == pytest.approx(32**-0.5, rel=0.02)
    again = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6), integration="concatenate", seed=3)
    other = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6), integration="concatenate", seed=4)
    assert all(torch.equal(t, again.tensors[k]) for k, t in m.tensors.items())
    assert not torch.equal(m.tensors[f"{SITE}.qk"], other.tensors[f"{SITE}.qk"])
    moved = m.resample(5, (7, 8))
    assert moved.tensors[f"{SITE}.qk.map"] is m.tensors[f"{SITE}.qk.map"]
    assert moved.tensors[f"{SITE}.attn2.v"].shape == (56, 5, 32)
    assert m.only("deep").layers == MotionEmbedding.zeros(tiny_backbone(), "deep", 3, (5, 6)).layers


def test_what_it_holds_in_words() -> None:
    backbone = tiny_backbone()
    assert random_embedding(backbone).holds() == "query-key and value embeddings"
    assert random_embedding(backbone, components="none").holds() == "no embeddings"
    odd = random_embedding(backbone, integration="multiply", qk_axes="partial", v_axes="1d").holds()
    assert odd == (
        "query-key and value embeddings, integration multiply, spatial axes of the query-key embeddings: partial, "
        "value embeddings without spatial axes"
    )


def test_size_of_five_sites_at_512_by_320() -> None:
    """Two bytes a value, and a header of a few kilobytes: below 70 MB."""
    with torch.device("meta"):
        m = MotionEmbedding.zeros(modelscope(), "deep", 16, (40, 64))
    assert 2 * m.numel() == 65_740_800


STACK = Backbone("wan", tuple(Site(f"blocks.{i}", 4, 1, block) for i, block in enumerate(THIRDS)))


@pytest.mark.parametrize(("sites", "names"), [("all", "012"), ("middle", "1"), ("late", "2"), ("blocks.[02]", "02")])
def test_groups_of_a_stack_of_blocks(sites: str, names: str) -> None:
    assert [layer.name for layer in STACK.select(sites, (4, 4))] == [f"blocks.{name}" for name in names]


@pytest.mark.parametrize("sites", ["coarse", "coarse_up", "deep"])
def test_groups_of_a_unet_are_none_of_a_stack(sites: str) -> None:
    with pytest.raises(
        MotionError, match="no block of a wan model: use all, early, middle, late or names such as bloc"
    ):
        STACK.select(sites, (4, 4))
    with pytest.raises(MotionError, match="no block of a wan model"):
        MotionEmbedding.zeros(STACK, "all", 3, (4, 4)).only(sites)


def test_a_stack_has_one_value_embedding_per_block_on_a_grid_that_can_be_coarse() -> None:
    fine = MotionEmbedding.zeros(STACK, "middle", 3, (60, 104))
    assert {key: tuple(tensor.shape) for key, tensor in fine.tensors.items()} == {
        "blocks.1.qk": (1, 3, 4),
        "blocks.1.attn1.v": (30 * 52, 3, 4),
    }
    coarse = MotionEmbedding.zeros(STACK, "middle", 3, (60, 104), v_axes="coarse")
    assert coarse.grid_of("blocks.1.attn1.v") == (8, 13) and coarse.tensors["blocks.1.attn1.v"].shape == (104, 3, 4)
