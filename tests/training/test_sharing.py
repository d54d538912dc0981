"""Two processes of training share the models of one run out."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from candlecast.candles import Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store import clocks, models, runs
from candlecast.store.database import Database, try_lock
from tests.making import make_candles
from tests.programs import running
from tests.waiting import eventually

MODELS = {
    Series.parse("replay:BTC-USDT:5m"): make_candles(2300, Interval.M5),
    Series.parse("replay:BTC-USDT:15m"): make_candles(2300),
}
NAMES = [f"{series.venue} {series.interval}" for series in MODELS]


@pytest.mark.slow
def test_two_processes_train_a_model_each_in_one_run(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    with database.begin() as connection:
        for series, candles in MODELS.items():
            candle_store.upsert(connection, series, candles, source="replay", now=candles.cutoff)
        clocks.start_clock(connection, "replay", start=max(one.cutoff for one in MODELS.values()), speed=1e-9)
    settings = environment | {
        "CANDLECAST_SERIES": ",".join(map(str, MODELS)),
        "CANDLECAST_HORIZONS": "1",
        "CANDLECAST_TRAINING_PARALLELISM": "2",
    }
    with ExitStack() as stack:
        logs = [tmp_path / f"log-{index}" for index in range(2)]
        with database.own_connection() as locks:
            for name in NAMES:
                assert try_lock(locks, f"candlecast:training:model {name}")
            processes = [
                stack.enter_context(
                    running([sys.executable, "-m", "training"], settings | {"CANDLECAST_JOB_INDEX": str(index)}, log)
                )
                for index, log in enumerate(logs)
            ]
            eventually(lambda: "taking part" in logs[1].read_text())
        assert [process.wait(200) for process in processes] == [0, 0]
    with database.begin() as connection:
        (row,) = runs.recent(connection, limit=10, job="training")
        trained = {f"{one.venue} {one.interval}" for one in models.versions(connection) if one.kind == "xgboost"}
        holders = connection.execute(text("SELECT count(DISTINCT holder), sum(tries) FROM run_part")).one()
    assert trained == set(NAMES)
    assert tuple(holders) == (2, 2)
    assert row.message == "replay 15m refused, replay 5m refused"
    assert (row.state, row.done) == ("succeeded", row.target)
