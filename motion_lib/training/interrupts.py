"""Signals that end a program (Ctrl-C, SIGTERM, SIGHUP), and the moments in which they have to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """Raised for any of SIGNALS; number: which."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = int(number)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """While inside, signals that would kill the process raise Interrupted in the main thread, as Ctrl-C raises
    KeyboardInterrupt. Those that are ignored, as `nohup` has it, stay ignored."""

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted(number)

    fatal = {number: handler for number, handler in _handlers().items() if handler == signal.SIG_DFL}
    with _handling(fatal, interrupt):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that would raise wait until the block ends. For what is fast, and consistent only as a whole."""
    waiting: list[int] = []
    before = {number: handler for number, handler in _handlers().items() if callable(handler)}
    try:
        with _handling(before, lambda number, frame: waiting.append(number)):
            yield
    finally:
        if waiting:
            before[waiting[0]](waiting[0], None)


class Stop:
    """What `stoppable` gives. number: the first signal that came, None before."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._held = False

    def __call__(self, number: int, frame: Any) -> None:
        self.number = self.number or number
        if not self._held:
            self._held = True
            raise Interrupted(self.number)

    def hold(self) -> None:
        """From here on signals are only noted."""
        self._held = True

    def check(self) -> None:
        """Raise Interrupted if a signal has come: the exception may have been raised where Python drops it, as in the
        finaliser of an object."""
        if self.number is not None:
            raise Interrupted(self.number)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """While inside, only the first signal raises: whatever follows it, however soon, does not disturb the saving of
    what there is."""
    stop = Stop()
    with _handling({number: handler for number, handler in _handlers().items() if callable(handler)}, stop):
        yield stop
    stop.check()


def _handlers() -> dict[int, Any]:
    """What SIGNALS do now; nothing in other threads than the main one, where Python handles none."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in SIGNALS}


@contextmanager
def _handling(before: Mapping[int, Any], handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """One handler for these signals, and what they did before afterwards."""
    with ExitStack() as stack:
        for number, earlier in before.items():
            stack.callback(signal.signal, number, earlier)
            signal.signal(number, handler)
        yield
