"""The sources of one run: opened once, shared by all its series, and left alone once they say that they must be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from candlecast.candles import Series
from candlecast.errors import CandlecastError, RateLimited, RestrictedLocation, VenueUnavailable
from candlecast.settings import Settings
from candlecast.store import sources as statuses
from candlecast.store.clocks import venue_clock
from candlecast.store.database import Database
from candlecast.venues import Archive, Sleep, Source, Venue, open_archive, open_venue
from ingestion_job.plan import Places

log = logging.getLogger(__name__)

_MOST_FAILURES = 3
"""Answers that failed one after the other, each after all its attempts, before a run gives a source up."""

_SHORTEST_BAN = timedelta(minutes=2)
"""How long a ban is believed to last where nobody says; Binance documents two minutes to three days."""


@dataclass(slots=True)
class _Standing:
    """What a run knows about a source: why it is not asked any more, and how often in a row it failed."""

    refusal: CandlecastError | None = None
    failures: int = 0


class Sources:
    """Lends sources to the threads of one run. A ban is written down, and asked for before the first request."""

    def __init__(self, database: Database, settings: Settings, sleep: Sleep) -> None:
        self._database = database
        self._settings = settings
        self._sleep = sleep
        self._venues: dict[str, Venue] = {}
        self._archives: dict[str, Archive | None] = {}
        self._standings: dict[str, _Standing] = {}
        self._lock = Lock()

    def places(self, series: Series) -> Places:
        """Return which sources there are for a series."""
        archive = self.archive(series.venue)
        return Places(series.venue, archive.name if archive else None, self._settings.fallbacks_of(series))

    @contextmanager
    def asking(self, venue: str) -> Iterator[Venue]:
        """Lend a venue; raise what keeps us from asking it, and remember how it takes being asked."""
        with self._asking(venue):
            yield self._venue(venue)

    @contextmanager
    def asking_archive(self, venue: str) -> Iterator[Archive]:
        """Lend the archive of a venue that has one, as `asking` does."""
        archive = self.archive(venue)
        if archive is None:
            raise ValueError(f"{venue} has no archive")
        with self._asking(archive.name):
            yield archive

    @contextmanager
    def asking_for(self, series: Series, name: str) -> Iterator[Source]:
        """Lend the source `name` of a series' places, as `asking` does."""
        archive = self.archive(series.venue)
        with self.asking_archive(series.venue) if archive and archive.name == name else self.asking(name) as source:
            yield source

    def archive(self, venue: str) -> Archive | None:
        """Return the archive of a venue, None where it has none."""
        with self._lock:
            if venue not in self._archives:
                digests = statuses.ArchiveDigests(self._database, f"{venue}_archive")
                self._archives[venue] = open_archive(venue, self._settings, digests, sleep=self._sleep)
            return self._archives[venue]

    def now(self, venue: str) -> datetime:
        """Return a venue's clock; raise what keeps us from asking it."""
        with self.asking(venue) as opened:
            return opened.now()

    def heed_bans(self) -> None:
        """Leave those sources alone that have banned another process of the run by now."""
        with self._lock:
            unaware = [name for name, standing in self._standings.items() if standing.refusal is None]
        for name in unaware:
            self._standings[name].refusal = self._ban(name)

    def close(self) -> None:
        """Let go of all connections."""
        for source in (*self._venues.values(), *self._archives.values()):
            if source is not None:
                source.close()

    def _venue(self, name: str) -> Venue:
        with self._lock:
            if name not in self._venues:
                with self._database.begin() as connection:
                    clock = venue_clock(connection, name, self._settings)
                self._venues[name] = open_venue(name, self._settings, clock, sleep=self._sleep)
            return self._venues[name]

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        standing = self._standing(name)
        if standing.refusal:
            raise standing.refusal
        try:
            yield
        except (RateLimited, RestrictedLocation) as error:
            standing.refusal = error
            if isinstance(error, RateLimited):
                self._remember_ban(name, error)
            raise
        except VenueUnavailable as error:
            standing.failures += 1
            if standing.failures >= _MOST_FAILURES:
                standing.refusal = error
            raise
        standing.failures = 0

    def _standing(self, name: str) -> _Standing:
        with self._lock:
            if name not in self._standings:
                self._standings[name] = _Standing(self._ban(name))
            return self._standings[name]

    def _ban(self, name: str) -> RateLimited | None:
        with self._database.begin() as connection:
            until = statuses.banned_until(connection, name)
        now = datetime.now(UTC)
        if until is None or until <= now:
            return None
        message = f"{name} banned this address until {until:%Y-%m-%d %H:%M:%S} UTC and is not asked before"
        log.warning(message)
        return RateLimited(message, (until - now).total_seconds(), banned=True)

    def _remember_ban(self, name: str, error: RateLimited) -> None:
        if not error.retry_after and not error.details.get("banned"):
            return  # it asks for no more than a pause
        wait = _SHORTEST_BAN if error.retry_after is None else timedelta(seconds=error.retry_after)
        until = datetime.now(UTC) + wait
        with self._database.begin() as connection:
            statuses.ban(connection, name, until, error.message)
        log.warning("%s is not asked again before %s UTC", name, f"{until:%Y-%m-%d %H:%M:%S}")
