"""One database, exchanges that may lie, and runs of ingestion in this process: what the tests of faults are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text

from candlecast.candles import Candles, Series, from_datetime64
from candlecast.errors import CandlecastError, UnknownSeries
from candlecast.jobs import Run, run_job
from candlecast.settings import Settings, load_settings
from candlecast.spans import Span
from candlecast.store import candles as store
from candlecast.store import gaps, runs, sources
from candlecast.store.confirmed import ConfirmedGap
from candlecast.store.database import Database
from ingestion_job.ingest import ingest

QUICK: Mapping[str, Any] = {
    "venue_attempts": 3,
    "venue_backoff": 0,
    "venue_timeout": 0.1,
    "gap_recheck_days": (0.01, 0.02),
}
"""Settings of a run that waits for nothing; a gap is asked for again after a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    failures: Mapping[str, CandlecastError]
    row: runs.RunRow

    def missing(self, series: Series) -> tuple[Span, ...]:
        """Return the stretches that the run says it could not get."""
        failure = self.failures.get(str(series))
        return failure.details["missing"] if failure else ()


@dataclass(slots=True)
class World:
    """A database, and the settings of runs on it."""

    database: Database
    settings: dict[str, Any] = field(default_factory=lambda: dict(QUICK))

    def load(self, *series: Series, **more: Any) -> Settings:
        """Return the settings for these series."""
        return load_settings(
            database_url=self.database.address, series=",".join(map(str, series)), **self.settings | more
        )

    def ingest(self, *series: Series, parameters: Mapping[str, Any] | None = None, **more: Any) -> Outcome:
        """Run ingestion once, as a process would, with `parameters` as somebody asked for them."""
        settings, seen = self.load(*series, **more), list[Run]()

        def work(run: Run) -> str:
            seen.append(run)
            return ingest(run, settings)

        with self.database.begin() as connection:
            if parameters is not None:
                runs.ask(connection, "ingestion", parameters, requested_by="a test")
        exit_code = run_job("ingestion", settings, work)
        with self.database.begin() as connection:
            row = next(row for row in runs.recent(connection, limit=20) if row.id == seen[0].id)
        return Outcome(exit_code, dict(seen[0].failures), row)

    def stored(self, series: Series) -> Candles:
        """Return what the table holds."""
        with self.database.begin() as connection:
            try:
                return store.read(connection, series)
            except UnknownSeries:
                return Candles.empty(series.interval)

    def sources(self, series: Series) -> dict[datetime, str]:
        """Return where each stored candle came from, by its open time."""
        query = (
            "SELECT c.open_time, c.source FROM candle c JOIN series s ON s.id = c.series_id WHERE s.symbol = :symbol"
        )
        with self.database.begin() as connection:
            rows = connection.execute(text(query), {"symbol": str(series.symbol)})
            return {row.open_time: row.source for row in rows}

    def corrections(self, series: Series) -> list[tuple[datetime, str, str]]:
        """Return the open time, the old source and the new one of every correction, in the order they were made."""
        query = (
            "SELECT c.open_time, c.source, c.replaced_by FROM candle_correction c "
            "JOIN series s ON s.id = c.series_id WHERE s.symbol = :symbol ORDER BY c.id"
        )
        with self.database.begin() as connection:
            rows = connection.execute(text(query), {"symbol": str(series.symbol)})
            return [(row.open_time, row.source, row.replaced_by) for row in rows]

    def confirmed(self, series: Series, window: Span) -> list[ConfirmedGap]:
        """Return the gaps that the venue is believed to have."""
        with self.database.begin() as connection:
            try:
                return gaps.confirmed(connection, series, window.start, window.end)
            except UnknownSeries:
                return []

    def know_clock(self, source: str, now: datetime) -> None:
        """Let an earlier run have measured the clock of a source, which shows `now`."""
        with self.database.begin() as connection:
            sources.record_skew(connection, source, now - datetime.now(UTC))

    def banned(self) -> set[str]:
        """Return the sources that have banned us."""
        with self.database.begin() as connection:
            return {one.source for one in sources.statuses(connection) if one.banned_until}

    def forget_bans(self) -> None:
        """Let the bans be over."""
        with self.database.begin() as connection:
            connection.execute(text("UPDATE source_status SET banned_until = NULL, ban_reason = NULL"))


def open_times(candles: Candles) -> set[datetime]:
    """Return the open times."""
    return {from_datetime64(moment) for moment in candles.open_time}


def times_in(spans: Sequence[Span], series: Series) -> set[datetime]:
    """Return the open times that spans hold."""
    return {span.start + i * series.interval.delta for span in spans for i in range(span.candles(series.interval))}


def different(found: Candles, truth: Candles, columns: Sequence[str] | None = None) -> set[datetime]:
    """Return the open times of candles in `found` that are not in `truth`, or have other values there."""
    known = np.isin(found.open_time, truth.open_time)
    wrong = ~known
    mine, theirs = found[known].columns(), truth[np.isin(truth.open_time, found.open_time)].columns()
    for name in columns or [name for name in mine if name != "open_time"]:
        wrong[known] |= ~np.isclose(mine[name], theirs[name], rtol=0, atol=0, equal_nan=True)
    return {from_datetime64(moment) for moment in found.open_time[wrong]}
