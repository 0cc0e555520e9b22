"""Every preset keeps one contract."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from motion_lib.diffusion.noise import START_NOISES
from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from motion_lib.training.presets import PRESETS, STACKED, preset
from tests.tiny import randn, tiny_backbone


@pytest.mark.parametrize("name", PRESETS)
def test_contract(name: str) -> None:
    """What it names exists, fits together, trains something that it then applies, and says what it is for."""
    chosen = preset(name)
    assert len(chosen.about) > 20 and chosen.settings.steps >= 50
    zeros = MotionEmbedding.zeros(tiny_backbone(), chosen.sites, 3, (5, 6), chosen.components)
    ones = zeros.with_tensors({k: torch.ones_like(t) for k, t in zeros.tensors.items()})
    way = chosen.application
    patch = MotionPatch(ones, way.strength_qk, way.strength_v, way.debias)
    ready = patch.prepare(3, (5, 6), "cpu", torch.float32)
    assert any(bool(t.any()) for t in (*ready.query_key.values(), *ready.value.values()))
    for start in START_NOISES.values():
        mixed = start(randn(1, 4, 3, 5, 6), randn(1, 4, 3, 5, 6, seed=1), way.noise_weight)
        assert torch.isfinite(mixed).all()
    low, high = chosen.settings.timesteps
    assert 0 <= low < high <= 999


def test_unknown_presets_name_the_known_ones() -> None:
    with pytest.raises(MotionError, match=f"preset is 'dance', but it must be one of {', '.join(PRESETS)}"):
        preset("dance")


def test_what_is_learned_from_several_clips_acts_longer_on_a_stack_of_blocks() -> None:
    one, several = STACKED["object"].learned_from(1), STACKED["object"].learned_from(8)
    assert one == STACKED["object"] and several.application.end > one.application.end
    assert replace(several, application=one.application) == one
    assert all(entry.learned_from(8) == entry for entry in PRESETS.values())
