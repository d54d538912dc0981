"""What every job does around its work: lock, claim, run row, progress, signals, summary line, exit code."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
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
from candlecast.store.database import Database, try_lock
from candlecast.store.migrate import ready_database

log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_SLEEP_SECONDS = 0.5

_LOG_LINES, _LOG_LINE = 200, 1000

ENDS_A_RUN = (Interrupted, LockLost, StoreUnavailable)
"""Errors after which no part of a run can go on; any other is the matter of the part that it happened to."""


class Cancelled(Exception):  # not an error: somebody asked for it
    """Somebody asked that this run stops."""


class Run:
    """A run in progress: its database, its parameters, and where it says how far it is.

    Several threads may share it: what ends the run in one of them ends it in each at its next safe moment.
    """

    def __init__(
        self, database: Database, run_id: int, claimed: runs.Claim | None, lock: Connection, tail: Tail
    ) -> None:
        self.database = database
        self.id = run_id
        self.request_id = claimed.request_id if claimed else None
        self.parameters: Mapping[str, Any] = claimed.parameters if claimed else {}
        self._lock = lock
        self._tail = tail
        self._kept = 0
        self.failures: dict[str, CandlecastError] = {}
        self._done = self._rows = 0
        self._target: int | None = None
        self._reported = 0.0
        self._terminated = False
        self._at_once = False
        self._guard = threading.RLock()
        self._ended: Cancelled | LockLost | None = None

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
            self._target = (self._target or 0) + steps

    def advance(self, message: str, *, done: int = 0, rows: int = 0) -> None:
        """Add finished steps and written rows; call after every chunk, when stopping is safe.

        Raise Cancelled when somebody asked the run to stop, and Interrupted after SIGTERM.
        """
        with self._guard:
            self._done += done
            self._rows += rows
            if self._terminated:
                raise _interrupted()
            if self._ended:
                raise self._ended
            if time.monotonic() - self._reported >= _REPORT_SECONDS:
                self.report(message)

    def report(self, message: str | None) -> None:
        """Write the progress down now; raise Cancelled when somebody asked the run to stop, LockLost without lock."""
        with self._guard:
            try:
                self._report(message)
            except (Cancelled, LockLost) as ended:
                self._ended = ended
                raise

    def _report(self, message: str | None) -> None:
        self._reported = time.monotonic()
        self._require_lock()
        with self.database.begin() as connection:
            cancelled = runs.report(
                connection,
                self.id,
                done=self._done,
                failed=len(self.failures),
                target=self._target,
                rows=self._rows,
                message=message,
            )
            self._keep_log(connection)
        if cancelled is None:
            raise LockLost("another run has taken over")
        if cancelled:
            raise Cancelled

    def _keep_log(self, connection: Connection) -> None:
        if (count := self._tail.count) != self._kept:
            runs.keep_log(connection, self.id, self._tail.lines)
            self._kept = count

    def _require_lock(self) -> None:
        try:
            self._lock.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise LockLost("the connection that held the job's lock is gone; the next run goes on from here") from error

    def fail(self, what: str, error: CandlecastError) -> None:
        """Note that one part (a series, a model) failed; the others go on."""
        with self._guard:
            self.failures[what] = error
        log.warning("%s failed: %s", what, error.message, extra={"fields": {"part": what, "code": error.code}})

    def sleep(self, seconds: float) -> None:
        """Wait; raise Interrupted soon after SIGTERM, in whichever thread."""
        end = time.monotonic() + seconds
        while True:
            if self._terminated:
                raise _interrupted()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _SLEEP_SECONDS))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let SIGTERM raise Interrupted at once inside the block: for long calculations that write nothing."""
        self._at_once = True
        try:
            if self._terminated:
                raise _interrupted()
            yield
        finally:
            self._at_once = False

    def terminate(self, *_: int | FrameType | None) -> None:
        """Stop at the next safe moment; the handler of SIGTERM."""
        self._terminated = True
        if self._at_once:
            raise _interrupted()

    @property
    def summary(self) -> dict[str, Any]:
        """Return the counters of the summary line."""
        return {"done": self._done, "failed": len(self.failures), "target": self._target, "rows": self._rows}


def run_job(job: str, settings: Settings, work: Callable[[Run], str]) -> int:
    """Run `work` as the only run of `job` and return the process's exit code.

    `work` returns its summary as a sentence. Its parameters come from the oldest request that waits for this job,
    never from the command line. Exit codes are those of `candlecast.errors`; of a run over several parts 0 when all
    succeeded, 75 when a failed one may succeed later, else the code of the first failure.
    """
    try:
        database = ready_database(settings)
        with _locked(database, job) as lock:
            return _run_locked(job, database, lock, work)
    except CandlecastError as error:
        fields = {"job": job, "outcome": "failed", "code": error.code, "exit_code": error.exit_code}
        log.error("%s: %s", job, error.message, extra={"fields": fields})
        return error.exit_code


def holder() -> str:
    """Name this process for people: host and process id."""
    return f"{socket.gethostname()} pid {os.getpid()}"


def _interrupted() -> Interrupted:
    return Interrupted("stopped by SIGTERM; the next run goes on from here")


@contextmanager
def _locked(database: Database, job: str) -> Iterator[Connection]:
    with database.own_connection() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not try_lock(connection, f"candlecast:{job}"):
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
    with Tail(_LOG_LINES, _LOG_LINE) as tail, log_context(job=job, run_id=run_id):
        run = Run(database, run_id, claimed, lock, tail)
        previous = signal.signal(signal.SIGTERM, run.terminate)
        try:
            return _finish(run, *_outcome(run, work))
        finally:
            signal.signal(signal.SIGTERM, previous)


def _outcome(run: Run, work: Callable[[Run], str]) -> tuple[str, str | None, CandlecastError | None]:
    """Return (state, summary sentence, error)."""
    try:
        message = work(run)
    except Cancelled:
        return "cancelled", "stopped as asked", None
    except CandlecastError as error:
        return "failed", None, error
    except Exception as error:
        log.exception("unexpected error")
        return "failed", None, CandlecastError(f"unexpected {type(error).__name__}: {error}")
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
