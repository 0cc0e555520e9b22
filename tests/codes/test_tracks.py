"""Points followed from frame to frame, against clips whose motion is known."""

from __future__ import annotations

import torch

from motion_lib.codes.tracks import GRID, steps, tracks
from motion_lib.sprites import Words, render
from motion_lib.sprites.motions import reference


def pan(step: tuple[int, int], frames: int = 5, side: int = 64) -> torch.Tensor:
    """A soft texture `[1, f, 3, side, side]` that moves by this many pixels a frame, right and down."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.rand(1, 3, 3 * side, 3 * side, generator=generator)
    wide = torch.nn.functional.avg_pool2d(wide, 5, 1, 2)
    at = [(side - step[1] * t, side - step[0] * t) for t in range(frames)]
    return torch.stack([wide[:, :, y : y + side, x : x + side] for y, x in at], dim=1)


def test_a_moved_texture_moves_every_point() -> None:
    for move in ((4, 0), (0, -6), (2, 2), (-4, 6)):
        step, clear = steps(pan(move))
        inner = step[..., 4:-4, 4:-4]
        assert step.shape == (1, 4, 2, GRID, GRID) and clear.shape == (1, 4, 1, GRID, GRID)
        expected = torch.tensor(move) * 2 / 64
        assert float((inner.mean(dim=(0, 1, 3, 4)) - expected).abs().max()) < 0.01, move
        assert float(clear.min()) >= 0 and float(clear.max()) <= 1


def test_a_still_clip_stays() -> None:
    found = tracks(pan((0, 0)))
    assert found.shape == (1, 5, 5, GRID, GRID) and float(found[:, :4].abs().max()) < 0.005


def test_steps_add_up_to_the_way_since_the_first_frame() -> None:
    found = tracks(pan((2, 0), frames=6))
    inner = found[0, :, :, 6:-6, 6:-6].mean(dim=(2, 3))
    torch.testing.assert_close(inner[2], inner[0].cumsum(dim=0), atol=0.01, rtol=0)
    assert not found[:, :, 0].any()


def test_points_on_a_sprite_go_where_it_goes() -> None:
    scene = reference("figure_eight", Words("circle", "red", "grey", "checkered"), frames=16)
    found = tracks(render(scene, 64)[:1])[0]
    start = scene.position[0, 0]
    x, y = (((start + 1) / 2) * GRID).long().tolist()
    way = scene.position[0] - start
    error = (found[2:4, :, y, x].T - way).norm(dim=-1)
    assert float(error[:6].max()) < 0.15 < 0.4 < float(way.norm(dim=-1).max())
    corner = found[2:4, :, 0, 0]
    assert float(corner.abs().max()) < 0.05
