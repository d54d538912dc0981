"""What SIGTERM ends, and when: waits soon, long calculations at once, all else at its next safe moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from candlecast.errors import Interrupted

_SLEEP_SECONDS = 0.5


class Termination:
    """Whether this process was told to end. Several threads may ask."""

    def __init__(self) -> None:
        self._asked_for = False
        self._at_once = False

    @contextmanager
    def handling(self, number: signal.Signals) -> Iterator[Self]:
        """Take in a signal inside the block; only the main thread may enter it."""
        previous = signal.signal(number, self._handle)
        try:
            yield self
        finally:
            signal.signal(number, previous)

    def require_time(self) -> None:
        """Raise Interrupted once the process was told to end: call where stopping is safe."""
        if self._asked_for:
            raise Interrupted("stopped by SIGTERM; the next run goes on from here")

    def sleep(self, seconds: float) -> None:
        """Wait; raise Interrupted soon after the signal, in whichever thread."""
        end = time.monotonic() + seconds
        while True:
            self.require_time()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _SLEEP_SECONDS))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the signal raise Interrupted at once inside the block: for long calculations that write nothing.

        Only in the main thread, which is the one that signals interrupt.
        """
        self._at_once = True
        try:
            self.require_time()
            yield
        finally:
            self._at_once = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_for = True
        if self._at_once:
            self.require_time()
