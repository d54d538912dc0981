"""What the exporter reads at every scrape: the state of the tables in a few short queries, at one moment.

None of them reads more rows when the ledger or the candles have become more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Kind = tuple[str, Interval]

_PATIENCE = "5s"

_RUNS = text(
    """
    SELECT job, state, coalesce(p.runs, 0) + coalesce(kept.runs, 0) AS runs
    FROM (SELECT job, state, count(*) AS runs FROM job_run GROUP BY job, state) kept
    FULL JOIN pruned_run p USING (job, state)
    """
)
_SUCCESSES = text(
    """
    SELECT j.job, newest.* FROM (SELECT DISTINCT job FROM job_run) j CROSS JOIN LATERAL (
        SELECT finished_at, extract(epoch FROM finished_at - started_at)::float8 AS seconds, rows
        FROM job_run WHERE job = j.job AND state = 'succeeded' ORDER BY started_at DESC LIMIT 1
    ) newest
    """
)
_FAILURES = text(
    """
    SELECT job, coalesce(error_code, 'unknown') AS code, count(*) AS runs FROM job_run
    WHERE state = 'failed' AND started_at > clock_timestamp() - interval '24 hours' GROUP BY 1, 2
    """
)

# A series' last position is how many forecasts it has: one look at the index each.
_LEDGER = text(
    """
    SELECT s.venue, s.symbol, s.interval, newest.position, newest.cutoff
    FROM series s CROSS JOIN LATERAL (
        SELECT position, cutoff FROM forecast f WHERE f.series_id = s.id ORDER BY position DESC LIMIT 1
    ) newest
    """
)
_DECISIONS = text(
    """
    SELECT venue, interval, CASE WHEN decision ->> 'promote' = 'true' THEN 'promoted' ELSE 'refused' END AS decision,
           count(*) AS versions
    FROM model_version WHERE venue IS NOT NULL AND decision ->> 'promote' IS NOT NULL GROUP BY 1, 2, 3
    """
)


@dataclass(frozen=True, slots=True)
class Success:
    """The newest success of a job: when it ended, how long it took, and how many rows it wrote."""

    finished_at: datetime
    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class JobState:
    """All runs by job and state, the newest successes, and how many runs of the last 24 hours failed with which code.

    `waiting` are the requests that nobody has claimed.
    """

    runs: Mapping[tuple[str, str], int]
    successes: Mapping[str, Success]
    failures: Mapping[tuple[str, str], int]
    waiting: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChampionState:
    """A champion and when, by the venue's clock, it was trained."""

    model_version: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How many forecasts of a series the ledger holds, and the newest cutoff among them."""

    forecasts: int
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a scrape reads; `active` are the configured series and those that were asked for."""

    active: tuple[Series, ...]
    clocks: Mapping[str, VenueClock]
    newest: Mapping[Series, datetime]
    audits: Mapping[Series, Audit]
    ledger: Mapping[Series, LedgerState]
    champions: Mapping[Kind, ChampionState]
    decisions: Mapping[tuple[Kind, str], int]
    drift: Mapping[Kind, Report]
    jobs: JobState
    sources: Sequence[SourceStatus]
    prices: Sequence[LastPrice]
    known_since: datetime | None


def read_state(database: Database, configured: Sequence[Series]) -> State:
    """Return the state; raise StoreUnavailable when the database is away, slow, or holds no schema yet."""
    try:
        with database.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE}'"))
            active = candle_store.active_series(connection, configured)
            return State(
                active=active,
                clocks={venue: read_clock(connection, venue) for venue in {series.venue for series in active}},
                newest=candle_store.newest_close_times(connection),
                audits=audits.newest(connection),
                ledger=_ledger(connection),
                champions=_champions(connection),
                decisions=_decisions(connection),
                drift=drift.newest(connection),
                jobs=_jobs(connection),
                sources=sources.statuses(connection),
                prices=prices.latest(connection),
                known_since=connection.execute(select(func.min(schema.series.c.recorded_at))).scalar(),
            )
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise StoreUnavailable(f"the database does not answer as it should: {reason}") from error


def _jobs(connection: Connection) -> JobState:
    return JobState(
        runs={(row.job, row.state): row.runs for row in connection.execute(_RUNS)},
        successes={
            row.job: Success(row.finished_at.astimezone(UTC), row.seconds, row.rows)
            for row in connection.execute(_SUCCESSES)
        },
        failures={(row.job, row.code): row.runs for row in connection.execute(_FAILURES)},
        waiting=runs.waiting(connection),
    )


def _champions(connection: Connection) -> dict[Kind, ChampionState]:
    c, m = schema.champion.c, schema.model_version.c
    rows = connection.execute(
        select(c.venue, c.interval, m.id, m.created_at).join(schema.model_version, m.id == c.model_version)
    )
    return {(row.venue, Interval(row.interval)): ChampionState(row.id, row.created_at.astimezone(UTC)) for row in rows}


def _decisions(connection: Connection) -> dict[tuple[Kind, str], int]:
    rows = connection.execute(_DECISIONS)
    return {((row.venue, Interval(row.interval)), row.decision): row.versions for row in rows}


def _ledger(connection: Connection) -> dict[Series, LedgerState]:
    return {
        Series(row.venue, Symbol.parse(row.symbol), Interval(row.interval)): LedgerState(
            row.position, row.cutoff.astimezone(UTC)
        )
        for row in connection.execute(_LEDGER)
    }
