"""What is read of a clip: its path and camera, and the tensors that training begins with."""

from __future__ import annotations

import pytest
import torch

from motion_lib.bundled.samples import SAMPLES
from motion_lib.codes.from_clip import embedding_of, reader_of, start_of
from motion_lib.errors import MotionError
from motion_lib.sprites.motions import figure_eight
from motion_lib.video import read_clip

from .conftest import clips, small_reader


def small_embedding():
    frames = (clips(1)[0].permute(0, 2, 3, 1) * 255).byte()
    return embedding_of(small_reader(), frames, "clip")[0]


def test_the_path_that_is_read_is_the_motion_of_the_sample() -> None:
    read = reader_of(None).read(read_clip(SAMPLES["figure_eight"].path).frames).path
    true = figure_eight(torch.linspace(0, 1, len(read)))["position"]
    for axis in range(2):
        assert torch.corrcoef(torch.stack([read[:, axis], true[:, axis]]))[0, 1] > 0.95


@pytest.mark.parametrize("debias", ["vanilla", "difference"])
def test_training_begins_with_what_acts_as_was_read(debias: str) -> None:
    read = small_embedding()
    start = start_of(read, read.with_tensors({}), debias)
    assert any(bool(t.any()) for t in start.tensors.values())
    for key, tensor in read.tensors.items():
        acts = start.tensors[key]
        if debias == "difference" and key.endswith(".v"):
            assert not torch.equal(acts, tensor)
            acts = torch.cat([acts[:, :1], acts.diff(dim=1)], dim=1)
        torch.testing.assert_close(acts, tensor, atol=1e-5, rtol=1e-4)


def test_a_preset_that_is_not_there() -> None:
    with pytest.raises(MotionError, match="preset is 'dance', but it must be one of auto"):
        embedding_of(small_reader(), torch.zeros(4, 16, 16, 3, dtype=torch.uint8), "clip", preset="dance")
