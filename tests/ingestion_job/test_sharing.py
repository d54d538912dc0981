"""Several processes of ingestion share the series of one run out, and it comes to the same as with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import text

from candlecast.candles import Interval, Series
from candlecast.store import runs
from candlecast.store.database import Database, try_lock
from candlecast.store.runs import RunRow
from tests.programs import running
from tests.waiting import eventually

SERIES = [
    Series.parse(f"simulated:{base}-USDT:{interval}")
    for base, interval in product(("BTC", "ETH", "BNB", "SOL", "XRP"), Interval)
]
UNKNOWN = Series.parse("simulated:SHIB-USDT:1h")
START, END = datetime(2025, 9, 1, tzinfo=UTC), datetime(2025, 9, 3, tzinfo=UTC)
CANDLES = sum((END - START) // series.interval.delta for series in SERIES)

Process = subprocess.Popen[bytes]


class Start(Protocol):
    """Starts the process of that index, of so many, on these series."""

    def __call__(self, index: int, parallelism: int, *series: Series) -> Process: ...


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def process(index: int, parallelism: int, *series: Series) -> Process:
            settings = {
                "CANDLECAST_SERIES": ",".join(map(str, series)),
                "CANDLECAST_INGESTION_PARALLELISM": str(parallelism),
                "CANDLECAST_JOB_INDEX": str(index),
            }
            command = [sys.executable, "-m", "ingestion_job"]
            return stack.enter_context(running(command, environment | settings, tmp_path / f"log-{index}"))

        yield process


def ask(database: Database) -> None:
    """Ask for a time that is over, so that every run of it is about the same candles."""
    with database.begin() as connection:
        parameters = {"start": START.isoformat(), "end": END.isoformat()}
        runs.ask(connection, "ingestion", parameters, requested_by="a test")


def rows(database: Database) -> list[RunRow]:
    with database.begin() as connection:
        return runs.recent(connection, limit=10, job="ingestion")


def share(database: Database, start: Start, tmp_path: Path, processes: int, *series: Series) -> list[int]:
    """Run ingestion with all processes taking part from its first series on; return how they ended."""
    ask(database)
    with database.own_connection() as locks:
        for one in series:
            assert try_lock(locks, f"candlecast:ingestion:news {one}")
        started = [start(index, processes, *series) for index in range(processes)]
        others = [tmp_path / f"log-{index}" for index in range(1, processes)]
        eventually(lambda: all("taking part" in log.read_text() for log in others))
    return [process.wait(120) for process in started]


def test_three_processes_share_thirty_series(database: Database, start: Start, tmp_path: Path) -> None:
    assert share(database, start, tmp_path, 3, *SERIES) == [0, 0, 0]
    (row,) = rows(database)
    assert (row.state, row.done, row.target, row.rows) == ("succeeded", CANDLES, CANDLES, CANDLES)
    assert row.message == f"{CANDLES} new and 0 corrected candles in 30 series"
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM candle")).scalar() == CANDLES
        told = (
            "SELECT phase, count(*), max(tries), count(DISTINCT holder) > 1 FROM run_part GROUP BY phase ORDER BY phase"
        )
        phases = [tuple(phase) for phase in connection.execute(text(told))]
    # Of daily candles, two days are among the newest thousand.
    assert phases == [("news", 30, 1, True), ("past", 25, 1, True)]


@pytest.mark.slow
def test_a_series_that_fails_reads_the_same_however_many_processes_there_are(
    database: Database, start: Start, tmp_path: Path
) -> None:
    some = (*SERIES[:6], UNKNOWN)
    ask(database)
    assert start(0, 1, *some).wait(120) == 65
    with database.begin() as connection:
        connection.execute(text("TRUNCATE candle, confirmed_gap, series_audit"))
    assert share(database, start, tmp_path, 2, *some)[0] == 65
    shared, alone = rows(database)
    assert (shared.failed, alone.failed) == (1, 1)
    assert (shared.error, shared.error_code, shared.message) == (alone.error, alone.error_code, alone.message)
    assert str(shared.error).startswith(f"{UNKNOWN}: {timedelta(days=2) // timedelta(hours=1)} candles missing")


@pytest.mark.slow
def test_overlapping_runs_leave_the_same_candles_as_one(database: Database, start: Start, tmp_path: Path) -> None:
    first = [start(index, 2, *SERIES[:6]) for index in range(2)]
    eventually(lambda: [row for row in rows(database) if row.state == "running"])
    second = [start(index, 2, *SERIES[:6]) for index in range(2)]
    assert [process.wait(120) for process in (*first, *second)] in ([0, 0, 0, 0], [0, 0, 75, 0])
    assert {row.state for row in rows(database)} == {"succeeded"}
