"""Which frames are selected: against hand-computed indices and a brute-force search."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.errors import MotionError
from motion_lib.video.options import ClipOptions, select, select_indices


def at(rate: float, count: int) -> list[float]:
    return [index / rate for index in range(count)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ClipOptions(), list(range(24))),
        (ClipOptions(force_rate=24), list(range(24))),
        (ClipOptions(force_rate=12), list(range(0, 24, 2))),
        (ClipOptions(force_rate=8), list(range(0, 24, 3))),
        (ClipOptions(force_rate=10), [0, 2, 5, 7, 10, 12, 14, 17, 19, 22]),
        (ClipOptions(force_rate=48), [index for index in range(24) for _ in range(2)]),
        (ClipOptions(skip_first_frames=20), [20, 21, 22, 23]),
        (ClipOptions(select_every_nth=10), [0, 10, 20]),
        (ClipOptions(frame_load_cap=3), [0, 1, 2]),
        (ClipOptions(select_every_nth=5, frame_load_cap=2), [0, 5]),
        (ClipOptions(force_rate=12, skip_first_frames=1, select_every_nth=2, frame_load_cap=3), [2, 6, 10]),
        (ClipOptions(skip_first_frames=30), []),
    ],
)
def test_one_second_at_24(options: ClipOptions, expected: list[int]) -> None:
    assert select_indices(at(24, 24), options) == expected


def test_variable_frame_rate_is_followed_in_time() -> None:
    # Ticks every 0.1 s over frames that hold for 0.1, 0.3, 0.05, 0.05 s and once more the average, 0.125 s.
    assert select_indices([0, 0.1, 0.4, 0.45, 0.5], ClipOptions(force_rate=10)) == [0, 1, 1, 2, 2, 4, 4]


def test_first_time_need_not_be_zero() -> None:
    assert select_indices([7.0, 7.1, 7.2, 7.3], ClipOptions(force_rate=5)) == [0, 2]


def test_one_frame_stays_one_frame() -> None:
    assert select_indices([3.0], ClipOptions(force_rate=30)) == [0]
    assert select_indices([], ClipOptions(force_rate=30)) == []


def nearest_by_search(times: list[Fraction], rate: int) -> list[int]:
    end = times[-1] + ((times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else Fraction(1, rate))
    chosen, tick = [], times[0]
    while tick < end:
        chosen.append(min(range(len(times)), key=lambda index: abs(times[index] - tick)))
        tick += Fraction(1, rate)
    return chosen


@given(
    start=st.integers(-500, 5000),
    steps=st.lists(st.integers(1, 400), max_size=11),
    rate=st.integers(1, 60),
    skip=st.integers(0, 5),
    nth=st.integers(1, 4),
    cap=st.integers(0, 6),
)
def test_selection_is_the_brute_force_one(
    start: int, steps: list[int], rate: int, skip: int, nth: int, cap: int
) -> None:
    times = [Fraction(start, 1000)]
    for step in steps:
        times.append(times[-1] + Fraction(step, 1000))
    options = ClipOptions(force_rate=rate, skip_first_frames=skip, select_every_nth=nth, frame_load_cap=cap)
    expected = nearest_by_search(times, rate)[skip::nth][: cap or None]
    assert select_indices([float(time) for time in times], options) == expected


@given(count=st.integers(1, 50), rate=st.floats(1, 120))
def test_own_rate_changes_nothing(count: int, rate: float) -> None:
    assert select_indices(at(rate, count), ClipOptions(force_rate=rate)) == list(range(count))


@given(count=st.integers(2, 60), rate=st.integers(1, 60), wanted=st.integers(1, 60))
def test_duration_is_kept(count: int, rate: int, wanted: int) -> None:
    kept = select_indices(at(rate, count), ClipOptions(force_rate=wanted))
    assert len(kept) == -(-count * wanted // rate)  # rounded up: the tick at the very start counts


@pytest.mark.parametrize("force_rate", [0.0, 6.0])
def test_nothing_is_consumed_beyond_the_need(force_rate: float) -> None:
    consumed = []

    def endless() -> Iterator[tuple[float, int]]:
        index = 0
        while True:
            consumed.append(index)
            yield index / 24, index
            index += 1

    options = ClipOptions(force_rate=force_rate, skip_first_frames=1, select_every_nth=2, frame_load_cap=3)
    chosen = list(select(endless(), options))
    assert chosen == ([1, 3, 5] if not force_rate else [4, 12, 20])
    assert consumed[-1] <= chosen[-1] + 3  # a frame is the nearest only once a later one has been seen


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("force_rate", -1.0),
        ("force_rate", float("nan")),
        ("force_rate", float("inf")),
        ("frame_load_cap", -1),
        ("skip_first_frames", -2),
        ("select_every_nth", 0),
        ("width", -8),
        ("height", -8),
        ("fit", "zoom"),
    ],
)
def test_wrong_option_is_named(field: str, value: object) -> None:
    with pytest.raises(MotionError, match=f"^{field} is .* must be"):
        ClipOptions(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(0, 0, (101, 67)), (50, 0, (50, 33)), (0, 134, (202, 134)), (64, 64, (64, 64)), (1, 0, (1, 1))],
)
def test_target_size(width: int, height: int, expected: tuple[int, int]) -> None:
    assert ClipOptions(width=width, height=height).target_size(101, 67) == expected
