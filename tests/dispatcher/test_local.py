"""The laptop's dispatcher as a process: it plays the schedule, starts what is asked for, and leaves nothing behind."""

import gzip
import signal
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.store import candles as store
from candlecast.store import runs
from candlecast.store.database import Database, try_lock
from candlecast.store.runs import RunRow
from tests.making import START, make_candles
from tests.programs import running
from tests.waiting import eventually

BTC = Series.parse("replay:BTC-USDT:15m")
CANDLES = make_candles(900)
PLAYED = 60
"""How many candles the replay's clock has seen when it starts."""

DISPATCHER = [sys.executable, "-m", "dispatcher"]

Environment = dict[str, str]


def _write(folder: Path, candles: Candles) -> None:
    columns = candles.columns()
    rows = zip(
        columns["open_time"].astype(np.int64).tolist(),
        *(columns[name].tolist() for name in ("open", "high", "low", "close", "volume")),
        strict=True,
    )
    lines = ["ts,open,high,low,close,volume", *(",".join(map(repr, row)) for row in rows)]
    folder.mkdir()
    path = folder / "binance-BTCUSDT-15m-2025-09-01-2025-09-10.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.fixture
def settings(environment: Environment, tmp_path: Path) -> Environment:
    _write(tmp_path / "candles", CANDLES)
    return environment | {
        "CANDLECAST_SERIES": str(BTC),
        "CANDLECAST_REPLAY_DIR": str(tmp_path / "candles"),
        "CANDLECAST_REPLAY_START": (START + PLAYED * BTC.interval.delta).isoformat(),
        "CANDLECAST_BACKFILL_DAYS": "30",
    }


def _runs(database: Database, job: str) -> list[RunRow]:
    """Return the runs of a job, oldest first."""
    with database.begin() as connection:
        return [row for row in runs.recent(connection, limit=500, job=job) if row.id is not None][::-1]


def _ended(database: Database, job: str) -> list[RunRow]:
    return [row for row in _runs(database, job) if row.finished_at is not None]


def _stored(database: Database) -> Candles:
    with database.begin() as connection:
        if BTC not in store.series_ids(connection):
            return Candles.empty(Interval.M15)
        return store.read(connection, BTC)


def _never_two_at_once(rows: list[RunRow]) -> bool:
    return all(
        before.finished_at and after.started_at and before.finished_at <= after.started_at
        for before, after in pairwise(rows)
    )


def test_the_schedule_follows_the_replays_clock_until_sigterm(
    settings: Environment, database: Database, tmp_path: Path
) -> None:
    fast = settings | {"CANDLECAST_REPLAY_SPEED": "600"}  # a candle every 1.5 seconds, ingestion every half
    with running(DISPATCHER, fast, tmp_path / "log") as process:
        eventually(lambda: len(_stored(database)) >= PLAYED, 60)
        eventually(lambda: len(_stored(database)) >= PLAYED + 4, 60)
        assert _stored(database) == CANDLES[: len(_stored(database))]
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        eventually(lambda: not any(child.is_running() for child in children), 10)
    ingestions = _runs(database, "ingestion")
    assert len(ingestions) >= 2
    assert {row.error_code for row in ingestions} <= {None, "interrupted"}
    assert {row.requested_by for row in ingestions} == {None}
    assert _never_two_at_once(ingestions)


def test_asked_for_runs_are_made_one_after_the_other_beside_the_schedule(
    settings: Environment, database: Database, tmp_path: Path
) -> None:
    slow = settings | {"CANDLECAST_REPLAY_SPEED": "0.001"}
    with running(DISPATCHER, slow, tmp_path / "log"):
        (first,) = eventually(lambda: _ended(database, "ingestion"), 60)
        assert (first.state, first.rows, first.requested_by) == ("succeeded", PLAYED, None)

        start = START + 10 * BTC.interval.delta
        with database.begin() as connection:
            parameters = {"start": start.isoformat(), "series": [str(BTC)]}
            numbers = [runs.ask(connection, "ingestion", parameters, requested_by=name) for name in ("anna", "bert")]
        asked = eventually(lambda: _of(database, numbers), 30)
        assert [row.requested_by for row in asked] == ["anna", "bert"]
        assert {row.state for row in asked} == {"succeeded"}
        assert [(row.done, row.target, row.rows) for row in asked] == [(0, 0, 0)] * 2, "all of it was there"
        assert _never_two_at_once(_runs(database, "ingestion"))
        assert len(_runs(database, "ingestion")) == 3

        # Never trained, so training is due once candles are there; so few are no reason to try for ever.
        (training,) = eventually(lambda: _ended(database, "training"), 90)
        assert (training.state, training.error_code) == ("failed", "not_enough_candles")
        with database.begin() as connection:
            number = runs.ask(connection, "training", {}, requested_by="anna")
        (again,) = eventually(lambda: _of(database, [number], "training"), 90)
        assert again.requested_by == "anna"
        assert len(_runs(database, "training")) == 2


def _of(database: Database, requests: list[int], job: str = "ingestion") -> list[RunRow]:
    rows = [row for row in _ended(database, job) if row.request_id in requests]
    assert [row.request_id for row in rows] == requests
    return rows


def test_retention_comes_by_itself_once_a_day(settings: Environment, database: Database, tmp_path: Path) -> None:
    slow = settings | {"CANDLECAST_REPLAY_SPEED": "0.001"}
    with running(DISPATCHER, slow, tmp_path / "log"):
        (retention,) = eventually(lambda: _ended(database, "retention"), 90)
        assert (retention.state, retention.requested_by) == ("succeeded", None)
        eventually(lambda: _ended(database, "training"), 90)
    assert len(_runs(database, "retention")) == 1


def test_several_processes_make_one_run_and_the_next_one_waits_for_all_of_them(
    settings: Environment, database: Database, tmp_path: Path
) -> None:
    slow = settings | {"CANDLECAST_REPLAY_SPEED": "0.001", "CANDLECAST_INGESTION_PARALLELISM": "3"}
    with database.own_connection() as locks:
        assert try_lock(locks, f"candlecast:ingestion:news {BTC}")
        with running(DISPATCHER, slow, tmp_path / "log") as process:
            eventually(lambda: (tmp_path / "log").read_text().count("taking part") == 2, 60)
            locks.commit()
            (first,) = eventually(lambda: _ended(database, "ingestion"), 60)
            assert (first.state, first.rows) == ("succeeded", PLAYED)
            with database.begin() as connection:
                number = runs.ask(connection, "ingestion", {}, requested_by="anna")
            eventually(lambda: _of(database, [number]), 60)
            assert _never_two_at_once(_runs(database, "ingestion"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_a_dispatcher_that_shall_do_nothing_ends_at_once(settings: Environment, tmp_path: Path) -> None:
    off = settings | {"CANDLECAST_DISPATCHER_MODE": "none"}
    with running(DISPATCHER, off, tmp_path / "log") as process:
        assert process.wait(30) == 0


def test_a_database_without_schema_is_named(settings: Environment, server_url: str, tmp_path: Path) -> None:
    bare = settings | {"CANDLECAST_DATABASE_URL": server_url, "CANDLECAST_DATABASE_DIRECT_URL": server_url}
    with running(DISPATCHER, bare, tmp_path / "log") as process:
        assert process.wait(30) == 75
    assert "run python -m candlecast.store migrate" in (tmp_path / "log").read_text()
