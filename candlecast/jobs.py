"""What every job does around its work: lock, claim, run row, progress, signals, summary line, exit code."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from candlecast.candles import Series
from candlecast.errors import (
    CandlecastError,
    Interrupted,
    JobLocked,
    LockLost,
    StoreUnavailable,
    TemporaryError,
    UsageError,
)
from candlecast.logs import Tail, log_context
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import runs
from candlecast.store.database import Database, hold_open, is_locked, try_lock
from candlecast.store.migrate import ready_database
from candlecast.store.runs import Counts, RunRow, Standing
from candlecast.termination import Termination

log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0

_LOG_LINES, _LOG_LINE = 200, 1000

ENDS_A_RUN = (Interrupted, LockLost, StoreUnavailable)
"""Errors after which no part of a run can go on; any other is the matter of the part that it happened to."""


class Cancelled(Exception):  # not an error: somebody asked for it
    """Somebody asked that this run stops."""


class RunEnded(Exception):  # not an error: there is nothing left to help with
    """The run that this process took part in has ended, or nobody leads it any more."""


class Run(ABC):
    """A run in progress: its database, its parameters, and where this process says how far it is.

    `index` is this process's place among those of the run. Several threads may share a Run: what ends it in one of
    them ends it in each at its next safe moment.
    """

    def __init__(
        self,
        database: Database,
        job: str,
        run_id: int,
        request_id: int | None,
        parameters: Mapping[str, Any],
        *,
        index: int,
        termination: Termination,
    ) -> None:
        self.database = database
        self.job = job
        self.id = run_id
        self.request_id = request_id
        self.parameters = parameters
        self.index = index
        self.failures: dict[str, CandlecastError] = {}
        self.sleep = termination.sleep
        self.interruptible = termination.interruptible
        self._termination = termination
        self._counts = self._unsaid = Counts()
        self._message: str | None = None
        self._reported = 0.0
        self._guard = threading.RLock()
        self._ended: Cancelled | RunEnded | LockLost | None = None

    def wanted_series(self, settings: Settings) -> tuple[Series, ...]:
        """Return the series that the parameters name, or all that are configured or were asked for.

        Raise UsageError for one that is neither.
        """
        named = self.named_series
        with self.database.begin() as connection:
            active = candle_store.active_series(connection, settings.series)
        if unknown := [str(series) for series in named if series not in active]:
            raise UsageError(f"not configured: {', '.join(unknown)}; add it to CANDLECAST_SERIES or ingest it first")
        return named or active

    @property
    def named_series(self) -> tuple[Series, ...]:
        """Return the series that the parameters name, each once; raise UsageError for one that is misspelt."""
        return tuple(dict.fromkeys(Series.parse(text) for text in self.parameters.get("series") or ()))

    def plan(self, steps: int) -> None:
        """Say how many steps the run has, or how many more."""
        with self._guard:
            self._unsaid += Counts(target=steps)

    def advance(self, message: str, *, done: int = 0, rows: int = 0) -> None:
        """Add finished steps and written rows; call after every chunk, when stopping is safe.

        Raise Cancelled when somebody asked the run to stop, Interrupted after SIGTERM, and RunEnded in a process that
        takes part in a run which has ended.
        """
        with self._guard:
            self._unsaid += Counts(done=done, rows=rows)
            self._message = message
            self._termination.require_time()
            if self._ended:
                raise self._ended
            if time.monotonic() - self._reported >= _REPORT_SECONDS:
                self.report(message)

    def report(self, message: str | None) -> None:
        """Write the progress down now; raise what `advance` raises, and LockLost without the lock."""
        with self._guard:
            self._reported = time.monotonic()
            try:
                standing = self._write_down(self._unsaid, message)
                self._counts, self._unsaid = standing.counts, Counts()
                if standing.cancelled:
                    raise Cancelled
            except (Cancelled, RunEnded, LockLost) as ended:
                self._ended = ended
                raise

    def settle(self) -> None:
        """Write down what is not written down yet, as `report` does."""
        with self._guard:
            if self._unsaid != Counts():
                self.report(self._message)

    @abstractmethod
    def _write_down(self, more: Counts, message: str | None) -> Standing:
        """Add to the run's counters and return how it stands; raise LockLost or RunEnded where it is not ours."""

    def fail(self, what: str, error: CandlecastError) -> None:
        """Note that one part (a series, a model) failed; the others go on."""
        with self._guard:
            self.failures[what] = error
        log.warning("%s failed: %s", what, error.message, extra={"fields": {"part": what, "code": error.code}})

    @property
    def summary(self) -> dict[str, Any]:
        """Return the counters of the summary line: those of all processes of the run."""
        counts = self._counts + self._unsaid
        return {"done": counts.done, "failed": len(self.failures), "target": counts.target, "rows": counts.rows}


class _Led(Run):
    """A run in the process that leads it: holds the job's lock, and writes message, failures and log down."""

    def __init__(
        self,
        database: Database,
        job: str,
        run_id: int,
        claimed: runs.Claim | None,
        lock: Connection,
        tail: Tail,
        termination: Termination,
    ) -> None:
        request_id, parameters = (claimed.request_id, claimed.parameters) if claimed else (None, {})
        super().__init__(database, job, run_id, request_id, parameters, index=0, termination=termination)
        self._lock = lock
        self._tail = tail
        self._kept = 0

    def _write_down(self, more: Counts, message: str | None) -> Standing:
        self._require_lock()
        with self.database.begin() as connection:
            standing = runs.report(connection, self.id, more, failed=len(self.failures), message=message)
            self._keep_log(connection)
        if standing is None:
            raise LockLost("another run has taken over")
        return standing

    def _keep_log(self, connection: Connection) -> None:
        if (count := self._tail.count) != self._kept:
            runs.keep_log(connection, self.id, self._tail.lines)
            self._kept = count

    def _require_lock(self) -> None:
        try:
            self._lock.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise LockLost("the connection that held the job's lock is gone; the next run goes on from here") from error


class _Joined(Run):
    """A run in a process that takes part in it; it ends with the run, and with the process that leads."""

    def _write_down(self, more: Counts, message: str | None) -> Standing:
        with self.database.begin() as connection:
            standing = runs.contribute(connection, self.id, more)
            led = is_locked(connection, lock_name(self.job))
        if standing is None or not led:
            raise RunEnded
        return standing


def run_job(
    job: str,
    settings: Settings,
    work: Callable[[Run], str],
    take_part: Callable[[Run], None] | None = None,
    *,
    patience: float = _PATIENCE_SECONDS,
) -> int:
    """Run `work` as the only run of `job` and return the process's exit code.

    `work` returns its summary as a sentence. Its parameters come from the oldest request that waits for this job,
    never from the command line. Exit codes are those of `candlecast.errors`; of a run over several parts 0 when all
    succeeded, 75 when a failed one may succeed later, else the code of the first failure.

    A process with a job index above 0 leads no run, but takes part in the one that another process leads, by
    `take_part`, until that ends. Its exit code is 0 also where nobody leads within `patience` seconds. Jobs without
    `take_part` do not look at the index.
    """
    try:
        database = ready_database(settings)
        if settings.job_index and take_part:
            return _join(job, database, settings.job_index, take_part, patience)
        with _locked(database, job) as lock:
            return _run_locked(job, database, lock, work)
    except CandlecastError as error:
        fields = {"job": job, "outcome": "failed", "code": error.code, "exit_code": error.exit_code}
        log.error("%s: %s", job, error.message, extra={"fields": fields})
        return error.exit_code


def holder() -> str:
    """Name this process for people: host and process id."""
    return f"{socket.gethostname()} pid {os.getpid()}"


def lock_name(job: str, part: str | None = None) -> str:
    """Return the name of the lock of a job, or of one part of its runs."""
    return ":".join(filter(None, ("candlecast", job, part)))


def unexpected(error: Exception) -> CandlecastError:
    """Return the error for what nobody foresaw; log its traceback."""
    log.error("unexpected error", exc_info=error)
    return CandlecastError(f"unexpected {type(error).__name__}: {error}")


@contextmanager
def _locked(database: Database, job: str) -> Iterator[Connection]:
    with database.own_connection() as connection:
        hold_open(connection)
        if not try_lock(connection, lock_name(job)):
            with database.begin() as reader:
                other = runs.running(reader, job)
            who = f"run {other.id} on {other.holder}, since {other.started_at:%H:%M:%S} UTC" if other else "another run"
            raise JobLocked(f"{job} is already running: {who} holds the lock; try again when it has ended")
        yield connection


def _run_locked(job: str, database: Database, lock: Connection, work: Callable[[Run], str]) -> int:
    with database.begin() as connection:
        runs.close_lost(connection, job)
        claimed = runs.claim(connection, job)
        run_id = runs.start(connection, job, claimed, holder=holder())
    with (
        Tail(_LOG_LINES, _LOG_LINE) as tail,
        log_context(job=job, run_id=run_id),
        Termination().handling(signal.SIGTERM) as termination,
    ):
        run = _Led(database, job, run_id, claimed, lock, tail, termination)
        return _finish(run, *_outcome(run, work))


def _join(job: str, database: Database, index: int, take_part: Callable[[Run], None], patience: float) -> int:
    with Termination().handling(signal.SIGTERM) as termination, log_context(job=job, job_index=index):
        row = _led_run(job, database, index, termination, patience)
        if row is None or row.id is None:
            log.info("nobody leads a run of %s that this process could take part in", job)
            return 0
        with log_context(run_id=row.id):
            run = _Joined(database, job, row.id, row.request_id, row.parameters, index=index, termination=termination)
            log.info("taking part in a run that %s leads", row.holder)
            return _taken_part(run, take_part)


def _led_run(job: str, database: Database, index: int, termination: Termination, patience: float) -> RunRow | None:
    """Wait for a run that somebody leads; None where none begins in time, or the one to take part in has ended."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with database.begin() as connection:
            newest = runs.newest(connection, job)
            led = is_locked(connection, lock_name(job))
        if newest is not None and newest.state == "running":
            if led:
                return newest
        elif newest is not None and (newest.holder or "").startswith(f"{_leading_pod(index)} "):
            return None
        termination.sleep(_LOOK_SECONDS)
    return None


def _leading_pod(index: int) -> str:
    """Return the host that leads where this process is a pod of an Indexed Job, whose host names end with the index."""
    return f"{socket.gethostname().removesuffix(f'-{index}')}-0"


def _taken_part(run: Run, take_part: Callable[[Run], None]) -> int:
    try:
        take_part(run)
    except (Cancelled, RunEnded):
        pass
    except CandlecastError:
        raise
    except Exception as error:
        raise unexpected(error) from error
    log.info("took part to the end")
    return 0


def _outcome(run: Run, work: Callable[[Run], str]) -> tuple[str, str | None, CandlecastError | None]:
    """Return (state, summary sentence, error)."""
    try:
        message = work(run)
    except Cancelled:
        return "cancelled", "stopped as asked", None
    except CandlecastError as error:
        return "failed", None, error
    except Exception as error:
        return "failed", None, unexpected(error)
    if not run.failures:
        return "succeeded", message, None
    errors = list(run.failures.values())
    return "failed", message, next((e for e in errors if isinstance(e, TemporaryError)), errors[0])


def _finish(run: Run, state: str, message: str | None, error: CandlecastError | None) -> int:
    exit_code = error.exit_code if error else 0
    parts = [f"{what}: {failure.message}" for what, failure in run.failures.items()]
    reasons = "; ".join(parts) or (error.message if error else None)
    fields = {"outcome": state, "exit_code": exit_code, "code": error.code if error else None, **run.summary}
    log.log(logging.ERROR if error else logging.INFO, "%s", message or reasons, extra={"fields": fields})
    try:
        run.report(message)
    except (Cancelled, LockLost):
        pass  # the row is closed below, or by the run that took over
    except DBAPIError:
        log.exception("the last progress could not be written down")
    with run.database.begin() as connection:
        runs.finish(
            connection,
            run.id,
            state=state,
            exit_code=exit_code,
            message=message,
            error_code=error.code if error else None,
            error=reasons,
        )
        if isinstance(error, TemporaryError) and run.request_id is not None:
            runs.give_back(connection, run.request_id)
    return exit_code
