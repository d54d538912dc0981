"""The dispatcher of a laptop: starts asked-for and scheduled runs as subprocesses, one run per job at a time."""

from __future__ import annotations

import importlib
import logging
import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess

from sqlalchemy import Connection

from candlecast.candles import Series
from candlecast.clock import VenueClock
from candlecast.errors import StoreUnavailable, TemporaryError
from candlecast.settings import Settings
from candlecast.store import candles, drift, models, runs
from candlecast.store.clocks import venue_clock
from candlecast.store.database import REQUEST_CHANNEL, Database, Listener
from dispatcher.schedule import RETENTION_AT, TRAINING_AT, drift_period, ingestion_period, is_due, settling_time

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.2
# After a failure: how long the schedule waits, and how long somebody who asked does.
_RETRY_SECONDS = {"ingestion": 5.0, "training": 300.0, "drift": 60.0, "retention": 300.0}
_ASKED_RETRY_SECONDS = 5.0
_STOP_SECONDS = 20.0
_LINGER_SECONDS = 1.0

_NO_VENUE = ""

# The job's word in the store, and the program that does it: its package and its arguments.
_PROGRAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ingestion": ("ingestion_job", ()),
    "training": ("training", ()),
    "drift": ("monitoring", ("drift",)),
    "retention": ("ingestion_job", ("retention",)),
}


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables say about what the schedule depends on."""

    active: tuple[Series, ...]
    clocks: Mapping[str, VenueClock]
    trained: Mapping[str, datetime]
    watched: Mapping[str, datetime]
    pruned: datetime | None


class _Processes:
    """The processes of one run, the one that leads first."""

    def __init__(self, members: Sequence[ForkServerProcess]) -> None:
        self.members = members
        self._led_until = math.inf

    def reap(self) -> int | None:
        """Return what the leading process ended with, once all have ended.

        The others end with the run; whoever came too late to see it is told to end.
        """
        codes = [process.exitcode for process in self.members]
        if codes[0] is None:
            return None
        self._led_until = min(self._led_until, time.monotonic())
        late = time.monotonic() - self._led_until >= _LINGER_SECONDS
        for process, code in zip(self.members, codes, strict=True):
            if code is None and late:
                process.terminate()
        if None in codes:
            return None
        for process in self.members:
            process.close()
        return codes[0]


class LocalDispatcher:
    """Turns requests and the schedule into subprocesses until stopped."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        # A replay's candles close every few seconds: a process that has imported ingestion already is forked for each
        # run, so that a run costs no start-up.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([f"{_PROGRAMS['ingestion'][0]}.__main__"])
        self._active: dict[str, _Processes] = {}
        self._failed_at: dict[str, float] = {}
        self._started_at: dict[tuple[str, str], datetime] = {}
        self._ingested = False
        self._stop = threading.Event()
        self._listener: Listener | None = None

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stop.set()

    def run(self) -> None:
        """Dispatch until stopped, then end the subprocesses and wait for them."""
        try:
            while not self._stop.is_set():
                try:
                    self._reap()
                    self._start_due()
                    self._wait()
                except StoreUnavailable as error:
                    log.warning("%s; trying again", error.message)
                    self._hang_up()
                    self._stop.wait(self.settings.poll_seconds)
        finally:
            self._end_all()
            self._hang_up()

    def _reap(self) -> None:
        for job, processes in list(self._active.items()):
            code = processes.reap()
            if code is None:
                continue
            del self._active[job]
            self._ingested = self._ingested or (job == "ingestion" and code == 0)
            if code != 0:
                self._failed_at[job] = time.monotonic()
            if code == TemporaryError.exit_code:
                # It may succeed later, so it is due again; all other failures wait for the next planned moment.
                self._started_at = {key: at for key, at in self._started_at.items() if key[0] != job}

    def _start_due(self) -> None:
        with self.database.begin() as connection:
            waiting = runs.waiting(connection)
            known = self._known(connection)
        for job in _PROGRAMS:
            if job in self._active:
                continue
            rested = time.monotonic() - self._failed_at.get(job, -math.inf)
            due = self._due(job, known) if rested >= _RETRY_SECONDS[job] else {}
            if due or (job in waiting and rested >= _ASKED_RETRY_SECONDS):
                self._start(job, due)

    def _known(self, connection: Connection) -> _Known:
        active = candles.active_series(connection, self.settings.series)
        return _Known(
            active,
            {venue: venue_clock(connection, venue, self.settings) for venue in sorted({one.venue for one in active})},
            models.newest_training(connection),
            drift.newest_watch(connection),
            runs.last_success(connection, "retention"),
        )

    def _due(self, job: str, known: _Known) -> dict[str, datetime]:
        """Return the venues for which `job` is due by the schedule, and what their clocks show.

        Retention is about no venue and follows this machine's clock.
        """
        now = {venue: clock.now() for venue, clock in known.clocks.items()}
        if job == "ingestion":
            return {venue: at for venue, at in now.items() if self._ingestion_due(venue, at, known)}
        if not self._ingested:
            return {}
        if job == "retention":
            wall = datetime.now(UTC)
            return {_NO_VENUE: wall} if self._retention_due(wall, known) else {}
        if job == "drift":
            return {
                venue: at for venue, at in now.items() if venue in known.trained and self._drift_due(venue, at, known)
            }
        return {venue: at for venue, at in now.items() if self._training_due(venue, at, known)}

    def _ingestion_due(self, venue: str, now: datetime, known: _Known) -> bool:
        period = ingestion_period(series.interval for series in known.active if series.venue == venue)
        return is_due(now, self._started_at.get(("ingestion", venue)), period, settling_time(period))

    def _training_due(self, venue: str, now: datetime, known: _Known) -> bool:
        last = self._last_try("training", venue, known.trained.get(venue))
        return is_due(now, last, timedelta(days=1), TRAINING_AT)

    def _drift_due(self, venue: str, now: datetime, known: _Known) -> bool:
        """Hourly since the first training."""
        last = self._last_try("drift", venue, known.watched.get(venue))
        return is_due(now, last, drift_period(known.clocks[venue].speed))

    def _retention_due(self, now: datetime, known: _Known) -> bool:
        return is_due(now, self._last_try("retention", _NO_VENUE, known.pruned), timedelta(days=1), RETENTION_AT)

    def _last_try(self, job: str, venue: str, succeeded: datetime | None) -> datetime | None:
        tried = self._started_at.get((job, venue))
        return max((moment for moment in (tried, succeeded) if moment), default=None)

    def _start(self, job: str, due: Mapping[str, datetime]) -> None:
        self._started_at.update({(job, venue): at for venue, at in due.items()})
        parallelism = {
            "ingestion": self.settings.ingestion_parallelism,
            "training": self.settings.training_parallelism,
        }.get(job, 1)
        members = [
            self._processes.Process(target=_run_program, args=(*_PROGRAMS[job], index), name=f"{job} {index}")
            for index in range(parallelism)
        ]
        for process in members:
            process.start()
        self._active[job] = _Processes(members)

    def _wait(self) -> None:
        if self._listener is None and self.database.can_listen:
            self._listener = self.database.listener(REQUEST_CHANNEL)
        if self._listener is not None:
            self._listener.wait(_TICK_SECONDS)
        else:
            self._stop.wait(_TICK_SECONDS)

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _end_all(self) -> None:
        everybody = [process for processes in self._active.values() for process in processes.members]
        for process in everybody:
            process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        for process in everybody:
            process.join(max(0.1, end - time.monotonic()))
            if process.is_alive():
                log.warning("%s did not stop in time and is killed; its next run goes on where it was", process.name)
                process.kill()
                process.join()


def _run_program(package: str, arguments: Sequence[str], index: int) -> None:
    """Do what `python -m package arguments` does, in a process of its own: the one of its run that has this index."""
    os.environ["CANDLECAST_JOB_INDEX"] = str(index)
    sys.exit(importlib.import_module(f"{package}.__main__").main(list(arguments)))
