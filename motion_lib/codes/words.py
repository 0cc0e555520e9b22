"""The words that say a motion: which of them a true path deserves, and which of them a sentence says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

WORDS: dict[str, tuple[str, ...]] = {
    "object": (
        *("still", "moves", "left", "right", "up", "down", "circles", "clockwise", "counterclockwise"),
        *("hops", "zigzags", "returns", "stops", "fast", "slow", "grows", "shrinks", "turns"),
    ),
    "camera": (
        *("still", "moves", "pans", "left", "right", "tilts", "up", "down"),
        *("zooms", "in", "out", "rolls", "clockwise", "counterclockwise", "shakes"),
    ),
}
# Other forms of the words, as people write them.
FORMS: dict[str, str] = {
    "stands": "still", "static": "still", "stays": "still", "rests": "still",
    "move": "moves", "moving": "moves", "leftwards": "left", "rightwards": "right", "upwards": "up", "rises": "up",
    "downwards": "down", "falls": "down", "circle": "circles", "circling": "circles", "orbits": "circles",
    "rounds": "circles", "anticlockwise": "counterclockwise", "hop": "hops", "hopping": "hops", "bounces": "hops",
    "jumps": "hops", "jumping": "hops", "bouncing": "hops", "zigzag": "zigzags", "zigzagging": "zigzags",
    "back": "returns", "return": "returns", "returning": "returns", "stop": "stops", "pauses": "stops",
    "stopping": "stops", "quickly": "fast", "slowly": "slow", "grow": "grows", "growing": "grows",
    "shrink": "shrinks", "shrinking": "shrinks", "turn": "turns", "turning": "turns", "spins": "turns",
    "rotates": "turns", "spinning": "turns", "pan": "pans", "panning": "pans", "tilt": "tilts", "tilting": "tilts",
    "zoom": "zooms", "zooming": "zooms", "roll": "rolls", "rolling": "rolls", "shake": "shakes", "shaking": "shakes",
    "shaky": "shakes",
}  # fmt: skip
FAR = 0.35  # half image sides between the ends of a motion that goes somewhere
STILL = 0.02  # half image sides a frame


def words_of_objects(position: Tensor, radius: Tensor, angle: Tensor) -> Tensor:
    """Which words of the object's list are true of paths `[b, f, 2]`, sizes `[b, f]` and angles `[b, f]`: `[b, words]`
    of 0 and 1. Steps of a path that is hardly there say nothing."""
    steps = position.diff(dim=1)
    speed = steps.norm(dim=-1)
    moving = speed > STILL
    moves = moving.float().mean(dim=1) > 0.2
    gone = position[:, -1] - position[:, 0]
    turned, around = _turned(steps, moving)
    extent = (position.amax(dim=1) - position.amin(dim=1)).norm(dim=-1)
    mean_speed = (speed * moving).sum(dim=1) / moving.sum(dim=1).clamp(min=1)
    far = FAR + 0.2 * extent  # the longer the way, the farther its end
    circles = moves & (turned.abs() > 0.8 * math.tau) & (turned.abs() > 0.75 * around)
    growth = radius[:, -1].log() - radius[:, 0].log()
    paused = (~moving).float().unfold(1, 3, 1).amin(dim=-1).amax(dim=1) > 0
    said = {
        "still": ~moves,
        "moves": moves,
        "left": gone[:, 0] < -far,
        "right": gone[:, 0] > far,
        "up": gone[:, 1] < -far,
        "down": gone[:, 1] > far,
        "circles": circles,
        "clockwise": circles & (turned > 0),
        "counterclockwise": circles & (turned < 0),
        "hops": moves & _hops(position) & ~circles,
        "zigzags": moves & (_corners(steps, moving) >= 2) & ~circles,
        "returns": moves & (gone.norm(dim=-1) < 0.15 * extent.clamp(min=0.3)),
        "stops": moves & paused,
        "fast": moves & (mean_speed > 0.15),
        "slow": moves & (mean_speed < 0.07),
        "grows": growth > 0.25,
        "shrinks": growth < -0.25,
        "turns": (angle - angle[:, :1]).abs().amax(dim=1) > 0.7,
    }
    return torch.stack([said[word] for word in WORDS["object"]], dim=1).float()


def words_of_cameras(camera: Tensor, zoom: Tensor, roll: Tensor) -> Tensor:
    """The same of where a camera looks `[b, f, 2]`, its zoom `[b, f]` and its roll `[b, f]`: a camera that goes right
    pans right."""
    steps = camera.diff(dim=1)
    speed = steps.norm(dim=-1)
    gone = camera[:, -1] - camera[:, 0]
    way = speed.sum(dim=1)
    zoomed, rolled = zoom.log()[:, -1] - zoom.log()[:, 0], roll[:, -1] - roll[:, 0]
    back = (steps[:, 1:] * steps[:, :-1]).sum(dim=-1) < 0
    shakes = (way > 0.25) & (back.float().mean(dim=1) > 0.25)
    pans, tilts = gone[:, 0].abs() > 0.25, gone[:, 1].abs() > 0.25
    zooms = zoomed.abs() > 0.15
    rolls = rolled.abs() > 0.2
    moves = (way > 0.2) | zooms | rolls
    said = {
        "still": ~moves,
        "moves": moves,
        "pans": pans,
        "left": pans & (gone[:, 0] < 0),
        "right": pans & (gone[:, 0] > 0),
        "tilts": tilts,
        "up": tilts & (gone[:, 1] < 0),
        "down": tilts & (gone[:, 1] > 0),
        "zooms": zooms,
        "in": zooms & (zoomed > 0),
        "out": zooms & (zoomed < 0),
        "rolls": rolls,
        "clockwise": rolls & (rolled > 0),
        "counterclockwise": rolls & (rolled < 0),
        "shakes": shakes,
    }
    return torch.stack([said[word] for word in WORDS["camera"]], dim=1).float()


def said_in(text: str) -> Mapping[str, Tensor]:
    """Which words of each group a sentence says, `[words]` of 0 and 1: those that follow the word `camera`, up to the
    next comma or full stop, are the camera's, all others the object's.

    >>> {group: int(chosen.sum()) for group, chosen in said_in("hops to the right, the camera pans left").items()}
    {'object': 2, 'camera': 2}
    """
    chosen = {group: torch.zeros(len(words)) for group, words in WORDS.items()}
    for part in re.split(r"[,.;]|\bwhile\b|\band the\b", text.lower()):
        tokens = re.findall(r"[a-z]+", part)
        group = "camera" if "camera" in tokens else "object"
        for token in tokens:
            word = FORMS.get(token, token)
            if word in WORDS[group]:
                chosen[group][WORDS[group].index(word)] = 1
    return chosen


def sentence(chosen: Tensor, group: str) -> str:
    """The words of `[words]` in their order, as `find` and *Read Motion* show them."""
    words = [word for word, says in zip(WORDS[group], chosen.tolist(), strict=True) if says]
    return " ".join(words)


def _turned(steps: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """By how much directions turn in all, clockwise on the screen, and the same without regard to the sense."""
    angle = torch.atan2(steps[..., 1], steps[..., 0])
    turn = (angle.diff(dim=1) + math.pi) % math.tau - math.pi
    turn = turn * (moving[:, 1:] & moving[:, :-1])
    return turn.sum(dim=1), turn.abs().sum(dim=1)


def _corners(steps: Tensor, moving: Tensor) -> Tensor:
    """Sharp changes of direction, of more than 80°, that are not all to one side."""
    angle = torch.atan2(steps[..., 1], steps[..., 0])
    # Over two steps, because a corner lies between frames.
    turn = (angle[:, 2:] - angle[:, :-2] + math.pi) % math.tau - math.pi
    turn = turn * (moving[:, 2:] & moving[:, :-2])
    sharp = turn.abs() > 1.4
    starts = sharp & ~torch.cat([torch.zeros_like(sharp[:, :1]), sharp[:, :-1]], dim=1)
    left, right = ((starts & (turn * sign > 0)).sum(dim=1) for sign in (-1, 1))
    return torch.where((left > 0) & (right > 0), left + right, 0)


def _hops(position: Tensor) -> Tensor:
    """Does it come down on a floor, sharply, and rise again, between arcs that are round on top?"""
    height = -position[..., 1]
    low = height.amin(dim=1, keepdim=True)
    tall = (height.amax(dim=1) - low[:, 0]) > 0.2
    velocity = height.diff(dim=1)
    falls, rises = velocity < -0.03, velocity > 0.03
    landing = falls[:, :-2] & (rises[:, 1:-1] | rises[:, 2:])  # on a frame, or between two
    on_floor = (height[:, 1:-2] - low) < 0.35 * (height.amax(dim=1, keepdim=True) - low)
    bend = velocity.diff(dim=1)
    arcs = (bend < 0.01).float().mean(dim=1) > 0.55  # falling faster and faster, but where it lands
    return tall & (landing & on_floor).any(dim=1) & arcs
