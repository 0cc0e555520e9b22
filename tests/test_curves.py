"""Factors along the way: linear between the given points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.errors import MotionError
from motion_lib.method.curves import factor_at, parse_curve

CURVE = ((0.2, 1.0), (0.6, 3.0), (1.0, 0.0))


@pytest.mark.parametrize(
    ("position", "factor"), [(0.0, 1.0), (0.2, 1.0), (0.3, 1.5), (0.6, 3.0), (0.9, 0.75), (1.0, 0.0)]
)
def test_by_hand(position: float, factor: float) -> None:
    assert factor_at(CURVE, position) == pytest.approx(factor)


@given(st.floats(0, 1))
def test_no_curve_is_one_everywhere_and_a_single_point_is_constant(position: float) -> None:
    assert factor_at((), position) == 1.0
    assert factor_at(((0.4, 0.7),), position) == 0.7


def test_as_text() -> None:
    assert parse_curve("curve", "0.2:1, 0.6:3,1:0") == CURVE
    assert parse_curve("curve", "") == ()


@pytest.mark.parametrize("text", ["0.5", "a:1", "0:1:2", "0:1,0:2", "0.5:1,0.2:1", "2:1", "0:inf"])
def test_what_is_no_curve(text: str) -> None:
    with pytest.raises(MotionError, match=r"^--curve "):
        parse_curve("--curve", text)
