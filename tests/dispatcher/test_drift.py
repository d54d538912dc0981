"""The laptop's dispatcher and drift: how often it is due, and that asking for it starts the right program."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candlecast.candles import Interval, Series
from candlecast.store import drift, runs
from candlecast.store.database import Database
from candlecast.store.drift import Report
from dispatcher.schedule import drift_period, is_due
from tests.programs import running
from tests.service.house import NOON, set_clock, store, walk
from tests.waiting import eventually

BTC = Series.parse("replay:BTC-USDT:1h")


@pytest.mark.parametrize(("speed", "hours"), [(1, 1), (30, 1), (90, 3), (900, 30)])
def test_drift_is_due_hourly_and_leaves_the_machine_two_minutes(speed: float, hours: int) -> None:
    assert drift_period(speed) == timedelta(hours=hours)


def test_drift_is_due_once_an_hour() -> None:
    at = datetime(2025, 9, 10, 12, 0, 30, tzinfo=UTC)
    assert is_due(at, at - timedelta(minutes=1), drift_period(1))
    assert not is_due(at, at - timedelta(seconds=10), drift_period(1))


def test_asked_for_drift_is_run(database: Database, environment: dict[str, str], tmp_path: Path) -> None:
    set_clock(database, NOON)
    store(database, BTC, walk(Interval.H1, 900))
    with database.begin() as connection:
        runs.ask(connection, "drift", {"series": [str(BTC)]}, requested_by="anna")
    settings = environment | {"CANDLECAST_SERIES": str(BTC), "CANDLECAST_REPLAY_DIR": str(tmp_path)}
    with running([sys.executable, "-m", "dispatcher"], settings, tmp_path / "log") as process:
        report = eventually(lambda: _newest(database), 120)
        process.terminate()
        assert process.wait(30) == 0
    assert (report.venue, report.interval, report.model_version) == ("replay", Interval.H1, None)
    with database.begin() as connection:
        (run,) = runs.recent(connection, limit=5, job="drift")
    assert (run.requested_by, run.state) == ("anna", "succeeded")


def _newest(database: Database) -> Report | None:
    with database.begin() as connection:
        finished = [run for run in runs.recent(connection, limit=5, job="drift") if run.finished_at]
        found = drift.reports(connection, limit=1)
    return found[0] if finished and found else None
