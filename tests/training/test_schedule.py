"""A scheduled training trains what is due and says why it leaves the rest; who asks for one gets it."""

from datetime import timedelta

import pytest

from candlecast.candles import Series
from candlecast.jobs import run_job
from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, models, runs
from candlecast.store.database import Database
from candlecast.store.runs import RunRow
from tests.making import make_candles
from training.job import train_models

BTC = Series.parse("replay:BTC-USDT:15m")
CANDLES = make_candles(2300)


@pytest.fixture
def settings(database: Database, database_url: str) -> Settings:
    with database.begin() as connection:
        candle_store.upsert(connection, BTC, CANDLES, source="replay", now=CANDLES.cutoff)
        clocks.start_clock(connection, "replay", start=CANDLES.cutoff, speed=1e-9)
    return load_settings(database_url=database_url, series=str(BTC), horizons="1")


def train(database: Database, settings: Settings) -> RunRow:
    assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    with database.begin() as connection:
        return runs.recent(connection, limit=1, job="training")[0]


def register(database: Database, hours: float) -> None:
    created_at = CANDLES.cutoff - timedelta(hours=hours)
    version = models.Version("before", "xgboost", "replay", BTC.interval, created_at, {}, None, None)
    with database.begin() as connection:
        models.register(connection, version, {}, [])


def test_the_first_training_is_due_and_one_right_after_it_is_not(database: Database, settings: Settings) -> None:
    first = train(database, settings)
    assert first.reason == "replay 15m: there was no training yet"
    assert first.message == "replay 15m refused"
    second = train(database, settings)
    why = "it is the planned time, but the last training was 0.0 h ago, 6 h is the least"
    assert (second.state, second.target) == ("succeeded", 0)
    assert second.message == f"replay 15m not due: {why}"
    assert second.reason == f"replay 15m: {why}"


def test_the_planned_time_is_reason_enough(database: Database, settings: Settings) -> None:
    register(database, 7)
    assert train(database, settings).reason == "replay 15m: it is the planned time"


def test_who_asks_for_a_training_gets_it(database: Database, settings: Settings) -> None:
    register(database, 1)
    with database.begin() as connection:
        runs.ask(connection, "training", {}, requested_by="anna")
    row = train(database, settings)
    assert (row.requested_by, row.reason, row.message) == ("anna", None, "replay 15m refused")
