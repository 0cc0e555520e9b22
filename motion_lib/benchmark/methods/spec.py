"""Methods by name and changed settings, as in `object:learning_rate=0.1,end=0.6`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ...errors import MotionError
from . import METHODS, Method


def chosen_methods(
    specs: Iterable[str], settings: Iterable[str] = (), known: Mapping[str, Method] = METHODS
) -> dict[str, Method]:
    """The methods of specs such as `object` or `object:steps=50`, by spec; `settings` such as `steps=50` go to every
    method that has one of that name. known: the methods by name.

    Raises MotionError for an unknown method or setting, or a value that does not suit.
    """
    given = dict(_pair(text) for text in settings)
    methods, used = {}, set()
    for spec in specs:
        name, _, changes = spec.partition(":")
        if name not in known:
            raise MotionError(f"There is no method '{name}' for this model: choose from {', '.join(known)}.")
        method = known[name]
        for key, value in given.items():
            if key in settings_of(method):
                method = changed(method, key, read(settings_of(method)[key], value, key))
                used.add(key)
        for key, value in map(_pair, changes.split(",") if changes else ()):
            if key not in settings_of(method):
                own = ", ".join(settings_of(method)) or "none"
                raise MotionError(f"The method {name} has no setting '{key}'; it has {own}.")
            method = changed(method, key, read(settings_of(method)[key], value, key))
        methods[spec] = method
    if unknown := given.keys() - used:
        raise MotionError(f"No chosen method has a setting '{min(unknown)}'.")
    return methods


def settings_of(method: Any) -> dict[str, Any]:
    """Every setting of a method, those of its preset and training among them, with its value."""
    found = {}
    for field in fields(method):
        value = getattr(method, field.name)
        found |= settings_of(value) if is_dataclass(value) else {field.name: value}
    return found


def changed(method: Any, key: str, value: Any) -> Any:
    """The same method with one setting changed, wherever in it that lies."""
    changes = {}
    for field in fields(method):
        own = getattr(method, field.name)
        if field.name == key:
            changes[key] = value
        elif is_dataclass(own) and key in settings_of(own):
            changes[field.name] = changed(own, key, value)
    return replace(method, **changes)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise MotionError(f"'{text}' is not a setting: write it as name=value, as in learning_rate=0.1.")
    return key.strip(), value.strip()


def read(own: Any, text: str, key: str) -> Any:
    """The value of a text, of the kind that the setting has now; `300-999` is a pair.

    Raises MotionError for one of another kind.
    """
    if isinstance(own, str):
        return text
    if isinstance(own, tuple) and (match := re.fullmatch(r"([\d.]+)-([\d.]+)", text)):
        text = f"({match[1]}, {match[2]})"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None if own is not None else text
    number = isinstance(own, (int, float)) and not isinstance(own, bool)
    if number and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if isinstance(own, float) else value
    if type(value) is not type(own) and own is not None:
        raise MotionError(f"The setting {key} is {own!r} and cannot become '{text}'.")
    return value
