"""What strangers wrote is seen, and does nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.errors import printable, shown, well_formed

ANYTHING = st.text(st.characters())  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2J\x07\x7f\x9b", r"\u001b[2J\u0007\u007f\u009b"),
        ("\u202etfil\u2066", r"\u202etfil\u2066"),
        ("\ud800", r"\ud800"),
        ("\u2028\ufeff\U000e0041", r"\u2028\ufeff\udb40\udc41"),
        ("a\\b", "a\\b"),
        ("Tänzer, 踊り　子, می‌رود, 👩‍🚀", "Tänzer, 踊り　子, می‌رود, 👩‍🚀"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, expected: str) -> None:
    assert printable(text) == shown(text) == expected


@given(ANYTHING, st.integers(1, 50))
def test_one_line_that_every_terminal_takes(text: str, limit: int) -> None:
    line = shown(text, limit)
    assert len(line) <= limit and len(line.splitlines()) <= 1
    line.encode()


@given(ANYTHING)
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(printable(json.dumps({text: [text]}, ensure_ascii=False))) == {text: [text]}


@given(ANYTHING)
def test_well_formed_texts_are_left_alone(text: str) -> None:
    found = well_formed(text)
    found.encode()
    assert well_formed(found) == found
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\ufffd" in found or not any(0xD800 <= ord(c) < 0xE000 for c in found)
    else:
        assert found == text


@pytest.mark.parametrize(
    "value",
    [10**4000, float("inf"), ["a" * 9999] * 9999, {"a" * 9999: {"b": {"c": {"d": {"e": 1}}}}}, None, [[[[[[]]]]]]],
)
def test_values_of_any_size_are_short(value: object) -> None:
    assert 0 < len(shown(value, 60)) <= 60


def test_how_values_are_written() -> None:
    assert shown([600, 999]) == "[600, 999]" and shown({"end": 0.4}) == "{'end': 0.4}" and shown(True) == "True"
    assert shown("abcdef", 4) == "abc…" and shown("abcd", 4) == "abcd"
