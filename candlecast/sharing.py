"""One run done by several processes: each takes parts that nobody else does, until all are done.

A part is taken under an advisory lock that ends with its process, so what a dead process left is free again. The lock's
name does not contain the run: where two runs overlap, they never do the same part at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from candlecast.errors import CandlecastError, LockLost, error_of
from candlecast.jobs import ENDS_A_RUN, Cancelled, Run, RunEnded, holder, lock_name, unexpected
from candlecast.store import parts as store
from candlecast.store.database import hold_open, try_locks
from candlecast.store.parts import Part

MOST_TRIES = 3
"""How many processes may begin a part and not come to its end before it counts as failed."""

_PAUSE_SECONDS = 0.2

Work = Callable[[Sequence[Part]], Mapping[str, Any]]
"""Does parts of one phase and returns what came of them, by name, as JSON.

What keeps one of them from succeeding it gives to `Run.fail`, under the part's name; what it raises fails the run.
"""


class Lane:
    """Parts of a run that one thread of each process does, one phase after the other.

    It takes as many at a time as it can do `at_once`; up to `at_most` while there are plenty, because each time costs a
    few transactions, and one waits for the slowest of those that one took.

    The process that leads calls `share` for each phase, the others `take_part`. With a `parallelism` of 1 nothing is
    written down: the work gets all parts of a phase at once.
    """

    def __init__(
        self, run: Run, name: str, work: Work, *, at_once: int, parallelism: int, at_most: int | None = None
    ) -> None:
        self._run = run
        self._name = name
        self._work = work
        self._at_once = at_once
        self._at_most = at_most or at_once
        self._parallelism = parallelism

    def share(self, phase: str, tasks: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do a part for each task, with all that take part; return what came of them, by name.

        A part that has no result failed. Raise what the work on a part raised, in whichever process.
        """
        parts = [Part(self._name, phase, name, task) for name, task in tasks.items()]
        if not parts:
            return {}
        if self._parallelism == 1:
            return self._work(parts)
        with self._run.database.begin() as connection:
            store.forget(connection, self._run.id)
            store.add(connection, self._run.id, parts)
        with self._run.database.own_connection() as locks:
            while self._do_some(locks):
                pass
        return self._results(phase)

    def take_part(self) -> None:
        """Do parts until the run ends, which raises RunEnded."""
        with self._run.database.own_connection() as locks:
            while True:
                self._do_some(locks)

    def _do_some(self, locks: Connection) -> bool:
        """Do parts that are free, or wait for a moment where none is; return whether any was left."""
        left, total = self._unfinished()
        with _lock_errors():
            hold_open(locks)
            free = self._lock(left, total, locks)
        outcomes = self._outcomes(free)
        with _lock_errors():
            if outcomes:
                store.finish(locks, self._run.id, free[0].phase, outcomes)
            locks.commit()
        if free:
            return True
        if left or self._run.index:
            self._run.sleep(_PAUSE_SECONDS)
            self._run.advance(f"waiting for parts of {self._name}")
        return bool(left)

    def _unfinished(self) -> tuple[list[Part], int]:
        """Return enough parts for some to be free, whatever the other processes are doing, and how many there are."""
        with self._run.database.begin() as connection:
            return store.unfinished(
                connection,
                self._run.id,
                self._name,
                index=self._run.index,
                parallelism=self._parallelism,
                limit=self._at_most * (self._parallelism + 1),
            )

    def _lock(self, parts: Sequence[Part], total: int, locks: Connection) -> list[Part]:
        """Lock parts that are free: of many half of an even share, so that nobody is left with many at the end."""
        most = min(max(self._at_once, total // (2 * self._parallelism)), self._at_most)
        names = [lock_name(self._run.job, str(part)) for part in parts]
        return [parts[place] for place in try_locks(locks, names, most)]

    def _outcomes(self, parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
        """Do those of the parts that are not done by now, and return what came of them as it is written down."""
        if not parts:
            return {}
        with self._run.database.begin() as connection:
            tries = store.begin(connection, self._run.id, parts, holder=holder())
        told = {name: _given_up(name) for name, count in tries.items() if count > MOST_TRIES}
        mine = [part for part in parts if part.name in tries and part.name not in told]
        if mine:
            told |= self._work_on(mine)
            self._run.settle()
        return told

    def _work_on(self, parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
        try:
            results = self._work(parts)
        except (*ENDS_A_RUN, Cancelled, RunEnded):
            raise
        except CandlecastError as error:
            return {part.name: {"raised": _told(error)} for part in parts}
        except Exception as error:
            return {part.name: {"raised": _told(unexpected(error))} for part in parts}
        failures = {name: {"failure": _told(error)} for name, error in self._run.failures.items()}
        return {part.name: {"result": results.get(part.name), **failures.get(part.name, {})} for part in parts}

    def _results(self, phase: str) -> dict[str, Any]:
        with self._run.database.begin() as connection:
            outcomes = store.outcomes(connection, self._run.id, self._name, phase)
        for name, outcome in outcomes.items():
            if raised := outcome.get("raised"):
                raise error_of(**raised)
            if (failure := outcome.get("failure")) and name not in self._run.failures:
                self._run.fail(name, error_of(**failure))
        return {name: outcome["result"] for name, outcome in outcomes.items() if outcome.get("result") is not None}


def _given_up(name: str) -> dict[str, Any]:
    message = (
        f"{MOST_TRIES} processes began {name} and none came to its end; look how they ended, and whether they had "
        "enough memory"
    )
    return {"failure": _told(CandlecastError(message))}


def _told(error: CandlecastError) -> dict[str, str]:
    return {"code": error.code, "message": error.message}


@contextmanager
def _lock_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise LockLost("the connection that held the locks of parts is gone; somebody else does them") from error
