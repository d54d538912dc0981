"""What the exporter reads: the state of the tables in a few short queries, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from candlecast.candles import Interval, Series, Symbol
from candlecast.clock import VenueClock
from candlecast.errors import StoreUnavailable
from candlecast.store import audits, drift, prices, runs, schema, sources
from candlecast.store import candles as candle_store
from candlecast.store.audits import Audit
from candlecast.store.clocks import read_clock
from candlecast.store.database import Database
from candlecast.store.drift import Report
from candlecast.store.prices import LastPrice
from candlecast.store.sources import SourceStatus

_PATIENCE = "5s"
_SCORED = 2000  # newest forecasts that the gauges of live skill are about

_JOBS = text(
    """
    SELECT job, state, coalesce(p.runs, 0) + coalesce(kept.runs, 0) AS runs, finished_at, seconds
    FROM (
        SELECT job, state, count(*) AS runs, max(finished_at) AS finished_at,
               (array_agg(extract(epoch FROM finished_at - started_at) ORDER BY id DESC))[1]::float8 AS seconds
        FROM job_run GROUP BY job, state
    ) kept FULL JOIN pruned_run p USING (job, state)
    """
)
_LIVE = text(
    """
    SELECT s.venue, s.symbol, s.interval, h.horizon, n.scored, n.error, n.naive
    FROM series s CROSS JOIN unnest(CAST(:horizons AS smallint[])) AS h (horizon) CROSS JOIN LATERAL (
        SELECT count(*) AS scored, avg(absolute_error) AS error, avg(naive_absolute_error) AS naive
        FROM (
            SELECT absolute_error, naive_absolute_error FROM forecast_error e
            WHERE e.series_id = s.id AND e.horizon = h.horizon AND e.role = 'champion'
            ORDER BY e.cutoff DESC LIMIT :last
        ) newest
    ) n
    """
)

# A series' last position is how many forecasts it has: one look at the index each.
_LEDGER = text(
    """
    SELECT venue, symbol, interval, coalesce(
        (SELECT position FROM forecast f WHERE f.series_id = s.id ORDER BY position DESC LIMIT 1), 0) AS forecasts
    FROM series s
    """
)


@dataclass(frozen=True, slots=True)
class JobState:
    """The runs of one job in one state: how many, when the newest ended, and how long that took."""

    job: str
    state: str
    runs: int
    finished_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LiveErrors:
    """Mean absolute errors of the champion's newest scored forecasts, and of "no change" on the same candles."""

    series: Series
    horizon: int
    scored: int
    error: float | None
    naive_error: float | None


@dataclass(frozen=True, slots=True)
class ChampionState:
    """A champion and when, by the venue's clock, it was trained."""

    venue: str
    interval: Interval
    created_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the exporter shows; `active` are the configured series and those that were asked for."""

    active: tuple[Series, ...]
    clocks: dict[str, VenueClock]
    newest: dict[Series, datetime]
    jobs: list[JobState]
    waiting: dict[str, int]
    champions: list[ChampionState]
    drift: dict[tuple[str, Interval], Report]
    live: list[LiveErrors]
    ledger: dict[Series, int]
    audits: dict[Series, Audit]
    sources: list[SourceStatus]
    prices: list[LastPrice]
    known_since: datetime | None


def read_state(database: Database, configured: Sequence[Series], horizons: Sequence[int]) -> State:
    """Return the state; raise StoreUnavailable when the database is away, slow, or holds no schema yet."""
    try:
        with database.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE}'"))
            active = candle_store.active_series(connection, configured)
            return State(
                active=active,
                clocks={venue: read_clock(connection, venue) for venue in {series.venue for series in active}},
                newest=candle_store.newest_close_times(connection),
                jobs=_jobs(connection),
                waiting=runs.waiting(connection),
                champions=_champions(connection),
                drift=drift.newest(connection),
                live=_live(connection, horizons),
                ledger=_ledger(connection),
                audits=audits.newest(connection),
                sources=sources.statuses(connection),
                prices=prices.latest(connection),
                known_since=connection.execute(select(func.min(schema.series.c.recorded_at))).scalar(),
            )
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise StoreUnavailable(f"the database does not answer as it should: {reason}") from error


def _jobs(connection: Connection) -> list[JobState]:
    return [JobState(row.job, row.state, row.runs, row.finished_at, row.seconds) for row in connection.execute(_JOBS)]


def _champions(connection: Connection) -> list[ChampionState]:
    c, m = schema.champion.c, schema.model_version.c
    rows = connection.execute(
        select(c.venue, c.interval, m.created_at).join(schema.model_version, m.id == c.model_version)
    )
    return [ChampionState(row.venue, Interval(row.interval), row.created_at.astimezone(UTC)) for row in rows]


def _live(connection: Connection, horizons: Sequence[int]) -> list[LiveErrors]:
    rows = connection.execute(_LIVE, {"horizons": list(horizons), "last": _SCORED})
    return [
        LiveErrors(_series(row.venue, row.symbol, row.interval), row.horizon, row.scored, row.error, row.naive)
        for row in rows
    ]


def _ledger(connection: Connection) -> dict[Series, int]:
    return {_series(row.venue, row.symbol, row.interval): row.forecasts for row in connection.execute(_LEDGER)}


def _series(venue: str, symbol: str, interval: str) -> Series:
    return Series(venue, Symbol.parse(symbol), Interval(interval))
