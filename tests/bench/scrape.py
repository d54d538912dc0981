"""`make bench`: what a scrape of the exporter costs on a year of the default series, beside one of an empty database.

The year is made inside the database, past the ledger's triggers: its hashes are made up, which no scrape looks at.
What is looked at beside the scrapes is told too: the live scores of one new candle of every series, and a check of the
whole ledger (with --ledger, for it takes minutes).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from candlecast.settings import Settings, load_settings
from candlecast.store import candles, ledger, models
from candlecast.store.database import Database
from monitoring.exporter import TableState
from monitoring.watches import LedgerWatch, QualityWatch
from tests.bench.ours import database_in

MOST_TIMES_EMPTY = 20.0
END = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 15

_CANDLES = """
INSERT INTO candle (series_id, open_time, open, high, low, close, volume, source, ingested_at)
SELECT s.id, at, 100, 102, 99, 101 + sin(extract(epoch FROM at)), 1, 'binance', at
FROM series s CROSS JOIN LATERAL generate_series(CAST(:start AS timestamptz), CAST(:end AS timestamptz)
    - make_interval(secs => s.interval_seconds), make_interval(secs => s.interval_seconds)) AS at
"""
_FORECASTS = """
INSERT INTO forecast (series_id, cutoff, horizon, model_version, role, target_time, issued_at, recorded_at, last_close,
                      close, p_up, quantiles, position, hash)
SELECT s.id, at, horizon, CASE role WHEN 'baseline' THEN 'naive' ELSE 'm1' END, role,
       at + horizon * make_interval(secs => s.interval_seconds), at, at, 101,
       101 + sin(extract(epoch FROM at)) / 10, 0.5, array_fill(101::float8, ARRAY[13]),
       row_number() OVER (PARTITION BY s.id ORDER BY at, horizon, role), '\\x00'
FROM series s CROSS JOIN LATERAL generate_series(CAST(:start AS timestamptz), CAST(:end AS timestamptz)
    - make_interval(secs => s.interval_seconds), make_interval(secs => s.interval_seconds)) AS at
CROSS JOIN unnest(ARRAY[1, 5]) AS horizon CROSS JOIN unnest(ARRAY['baseline', 'champion']) AS role
"""
# What 90 days leave that retention keeps, of a run every five minutes, and a drift report every hour of the year.
_RUNS = """
INSERT INTO job_run (job, parameters, state, holder, started_at, finished_at, exit_code)
SELECT 'ingestion', '{}', CASE WHEN random() < 0.01 THEN 'failed' ELSE 'succeeded' END, 'bench', at, at, 0
FROM generate_series(clock_timestamp() - interval '90 days', clock_timestamp(), interval '5 minutes') AS at
"""
_REPORTS = """
INSERT INTO drift_report (venue, interval, created_at, reference_start, reference_end, reference_rows, current_start,
                          current_end, current_rows, method, share, drifted, scores)
SELECT 'binance', interval, at, at - interval '60 days', at - interval '7 days', 9, at - interval '7 days', at, 9,
       'wasserstein', 0, false,
       (SELECT jsonb_object_agg('column_' || n, CAST('{"score": 0.05, "threshold": 0.1}' AS jsonb))
        FROM generate_series(1, 50) AS n)
FROM generate_series(CAST(:start AS timestamptz), CAST(:end AS timestamptz), interval '1 hour') AS at
CROSS JOIN unnest(ARRAY['5m', '15m', '1h']) AS interval
"""


def fill(database: Database, settings: Settings, days: float) -> None:
    """Let `days` have passed since the first candle."""
    span = {"start": END - timedelta(days=days), "end": END}
    with database.begin() as connection:
        candles.add_series(connection, settings.series)
        models.register_naive(connection)
        models.register(connection, models.Version("m1", "xgb", None, None, END, {}, None, None), {}, [])
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in (_CANDLES, _FORECASTS, _RUNS, _REPORTS):
            connection.execute(text(statement), span if ":start" in statement else {})
    with database.begin() as connection:
        connection.execute(text("ANALYZE"))


def scrape_seconds(settings: Settings, database: Database) -> float:
    """Return the median time of a scrape."""
    state = TableState(settings, database, QualityWatch(settings, database), LedgerWatch(database))
    return statistics.median(_seconds(lambda: list(state.collect())) for _ in range(ROUNDS))


def _seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a command's output


def main(arguments: list[str] | None = None) -> int:
    """Print what scrapes cost; return 1 when one of a year's data costs too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scrape", description=__doc__)
    parser.add_argument("--days", type=float, default=365)
    parser.add_argument("--ledger", action="store_true", help="also check the whole ledger once")
    options = parser.parse_args(arguments)
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as folder, database_in(Path(folder)) as database:
        empty = scrape_seconds(settings, database)
        fill(database, settings, options.days)
        full = scrape_seconds(settings, database)
        with database.begin() as connection:
            rows = ledger.length(connection)
        _say(f"a scrape of an empty database  {1000 * empty:8.1f} ms")
        _say(f"with {rows:,} forecasts     {1000 * full:8.1f} ms, {full / empty:.1f} times as long")
        scores = _seconds(QualityWatch(settings, database).look)
        _say(f"live scores of all series      {scores:8.1f} s, once per candle, beside the scrapes")
        if options.ledger:
            _say(f"a check of the whole ledger    {_seconds(LedgerWatch(database).look):8.1f} s, beside the scrapes")
    return int(full / empty >= MOST_TIMES_EMPTY)


if __name__ == "__main__":
    sys.exit(main())
