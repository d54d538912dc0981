"""One answer for all pages that ask the same at the same moment: fifty open pages cost as much as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Generic, TypeVar

_MOST: Final = 64  # answers that are kept at once

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asked(Generic[Answer]):
    begun: float
    answer: Future[Answer] = field(default_factory=Future)


class Answers(Generic[Answer]):
    """Answers by question; one that is younger than `lifetime` seconds serves everybody, be it an error.

    Who asks while the answer is being made for somebody else waits for that one.
    """

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime, self._clock = lifetime, clock
        self._lock = Lock()
        self._known: dict[Hashable, _Asked[Answer]] = {}

    def get(self, question: Hashable, make: Callable[[], Answer]) -> Answer:
        """Return what is known, or what `make` returns now; raise what it raises."""
        mine: _Asked[Answer] = _Asked(self._clock())
        with self._lock:
            known = self._known.get(question)
            if known is not None and mine.begun - known.begun <= self._lifetime:
                mine = known
            else:
                self._keep(question, mine)
        if mine is not known:
            try:
                mine.answer.set_result(make())
            except BaseException as error:
                mine.answer.set_exception(error)
                raise
        return mine.answer.result()

    def forget(self) -> None:
        """Make every answer anew from now on: something has been changed."""
        with self._lock:
            self._known.clear()

    def _keep(self, question: Hashable, mine: _Asked[Answer]) -> None:
        self._known.pop(question, None)
        while len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        self._known[question] = mine
