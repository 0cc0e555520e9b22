"""Signals wait while what is consistent only as a whole is done, and training can be left anywhere."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.training.interrupts import SIGNALS, Interrupted, as_interrupts, stoppable, uninterrupted
from motion_lib.training.loop import TrainingRun, train, train_together
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.runs import CLIP, finish
from tests.tiny import SCHEDULE, randn, text, tiny_backbone

SETTINGS = TrainingSettings(steps=2, loss="debiased", timesteps=(100, 999), seed=3)
# Everything of a step but the model.
STEP = {
    *("loop.py", "learner.py", "state.py", "noisy_clip.py", "gradients.py", "joined_patch.py"),
    *("spatial_lora.py", "linear_changes.py", "interrupts.py", "adam.py", "adamw.py"),
}


class Plain:
    """A model of one linear layer, so that hundreds of steps take seconds; what is learned is added up."""

    def __init__(self):
        self.backbone, self.process = tiny_backbone(), NoiseSchedule.from_config(SCHEDULE)
        self.layer = torch.nn.Linear(4, 4).requires_grad_(False)

    def __call__(self, latents, timesteps, conditioning, patches=()):
        x = self.layer(latents.movedim(1, -1)).movedim(-1, 1)
        return x + sum(m.sum() for patch in patches for m in (*patch.query_key.values(), *patch.value.values()))

    def spatial_linears(self):
        return {"layer": self.layer}


PLAIN = Plain()


def start(loss: str = "debiased", seed: int = 3) -> TrainingState:
    zeros = MotionEmbedding.zeros(PLAIN.backbone, "up_blocks.0.temp_attentions.0", 3, (5, 6))
    return TrainingState.start(zeros, replace(SETTINGS, loss=loss, seed=seed), "cpu")


class At:
    """Sends this process Ctrl-C where a line of STEP runs for the first time that is not among `seen`, and adds it
    there. where: which line it was."""

    def __init__(self, seen: set[str]):
        self.seen, self.where = seen, ""

    def __call__(self, frame, event: str, argument):
        file, line = os.path.basename(frame.f_code.co_filename), f"{frame.f_code.co_name}:{frame.f_lineno}"
        if file not in STEP:
            return None
        if event == "line" and not self.where and line not in self.seen:
            self.seen.add(line)
            self.where = line
            signal.raise_signal(signal.SIGINT)
        return self

    def stop(self, run: Iterator) -> None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            next(run)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)


def content(state: TrainingState) -> dict[str, torch.Tensor]:
    """A copy of all that training continues from."""
    found = {"generator": state.generator.get_state(), "losses": torch.tensor(state.losses)}
    learning = [("embedding", state.embedding.tensors, state.optimizer)]
    if state.spatial is not None:
        learning.append(("spatial", state.spatial.tensors, state.spatial.optimizer))
    for name, tensors, optimizer in learning:
        for key, tensor in tensors.items():
            found[f"{name} {key}"] = tensor.detach().clone()
            found |= {f"{name} {kind} {key}": value.clone() for kind, value in optimizer.state.get(tensor, {}).items()}
    return found


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def test_training_left_at_any_line_is_that_of_a_whole_number_of_steps() -> None:
    seen: set[str] = set()
    for loss in ("debiased", "hybrid"):
        state = start(loss)
        run = train(PLAIN, CLIP, text(), state)
        whole = [content(state), *(content(state) for _ in run)]
        while True:
            state, at = start(loss), At(seen)
            at.stop(train(PLAIN, CLIP, text(), state))
            if not at.where:
                break
            assert same(content(state), whole[state.step]), at.where
    assert {"advance", "_steps", "learn_look", "acting", "changed", "uninterrupted"} <= {
        line.partition(":")[0] for line in seen
    }


def test_clips_learned_together_move_on_together() -> None:
    clips, seen = [randn(1, 4, 3, 5, 6, seed=seed) for seed in (1, 2)], set()

    def runs() -> list[TrainingRun[TrainingState]]:
        return [TrainingRun(clip, text(seed=i), start(seed=i)) for i, clip in enumerate(clips)]

    def contents(of: list[TrainingRun[TrainingState]]) -> list[dict[str, torch.Tensor]]:
        return [content(lesson.state) for lesson in of]

    whole = runs()
    steps = [contents(whole), *(contents(whole) for _ in train_together(PLAIN, whole))]
    while True:
        broken, at = runs(), At(seen)
        at.stop(train_together(PLAIN, broken))
        if not at.where:
            break
        assert all(map(same, contents(broken), steps[broken[0].state.step])), at.where
    assert {"advance", "_steps", "joined_patch", "uninterrupted"} <= {line.partition(":")[0] for line in seen}


def test_whatever_a_model_raises_leaves_the_last_whole_step() -> None:
    """As a host does that is told to cancel, in the middle of the model."""

    class Cancelling:
        def __init__(self, inner, call: int):
            self.inner, self.process, self.backbone, self.left = inner, inner.process, inner.backbone, call

        def __call__(self, *given):
            self.left -= 1
            if not self.left:
                raise OSError("cancelled")
            return self.inner(*given)

    whole, state = content(finish(start(), PLAIN)), start()
    with pytest.raises(OSError, match="cancelled"):
        finish(state, Cancelling(PLAIN, 2))
    assert state.step == 1 and same(content(finish(state, PLAIN)), whole)


# The blocks themselves


@pytest.fixture
def handled() -> Iterator[Callable[[], dict]]:
    """What signals do, which must be the same afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield lambda: {number: signal.getsignal(number) for number in SIGNALS}
    assert before == {number: signal.getsignal(number) for number in SIGNALS}


def test_a_signal_waits_for_the_end_of_the_block(handled) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
                done.append(1)
            done.append(2)
        done.append(3)
    assert done == [1, 2]


def test_a_signal_outlives_an_error_in_the_block(handled) -> None:
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        raise ValueError


@pytest.mark.parametrize("number", SIGNALS)
def test_only_the_first_signal_raises(number: int, handled) -> None:
    saved = False
    with pytest.raises(Interrupted) as caught:
        with as_interrupts(), stoppable():
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                for again in SIGNALS:
                    signal.raise_signal(again)
                saved = True
                raise
    assert saved and caught.value.number == number


def test_a_signal_that_came_while_saving_is_not_forgotten(handled) -> None:
    saved = False
    with pytest.raises(Interrupted):
        with stoppable() as stop:
            stop.hold()
            signal.raise_signal(signal.SIGINT)
            saved = True
    assert saved


def test_what_is_ignored_stays_ignored(handled) -> None:
    """As `nohup` has it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with as_interrupts(), stoppable() as stop, uninterrupted():
            signal.raise_signal(signal.SIGTERM)
        assert stop.number is None
    finally:
        signal.signal(signal.SIGTERM, before)
