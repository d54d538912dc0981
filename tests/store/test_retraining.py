"""When a training is asked for: what the tables say about age, live skill and drift, and what is written down."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Interval, Series, from_datetime64
from candlecast.drift import ColumnDrift, DriftSummary, Window
from candlecast.retraining import RetrainingDecision
from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, drift, ledger, models, retraining, runs
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.retention import RetentionPolicy, prune
from tests.making import make_candles, make_forecast

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
KIND = ("replay", Interval.M15)
CANDLES = make_candles(500)
NOW = CANDLES.cutoff
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load_settings(database_url=database_url, series=f"{BTC},{ETH}", horizons="1,5")


@pytest.fixture
def known(database: Database) -> Database:
    with database.begin() as connection:
        clocks.start_clock(connection, "replay", start=NOW, speed=1e-9)
        candle_store.upsert(connection, BTC, CANDLES, source="replay", now=NOW)
        candle_store.add_series(connection, [ETH])
        models.register_naive(connection)
    return database


def trained(database: Database, hours: float, name: str = "one") -> None:
    version = models.Version(name, "xgboost", "replay", Interval.M15, NOW - hours * HOUR, {}, None, None)
    with database.begin() as connection:
        models.register(connection, version, {}, [])


def drifted(database: Database, share: float, hours: float) -> None:
    columns = {str(place): ColumnDrift(1.0 if place < 10 * share else 0.0, 0.5) for place in range(10)}
    with database.begin() as connection:
        drift.record(
            connection,
            KIND,
            DriftSummary("wasserstein", columns),
            reference=Window(NOW - 90 * HOUR, NOW - 50 * HOUR, 9),
            current=Window(NOW - 50 * HOUR, NOW, 9),
            model_version=None,
            now=NOW - hours * HOUR,
        )


def spoken(better: float) -> Iterator[Entry]:
    """Yield 300 forecasts of a champion that is off by less or more than the baseline."""
    for place in range(190, 490):
        came, last = float(CANDLES.close[place + 1]), float(CANDLES.close[place])
        cutoff = from_datetime64(CANDLES.close_time[place])
        naive = replace(make_forecast(cutoff, Interval.M15, close=last), last_close=last)
        ours = make_forecast(cutoff, Interval.M15, close=came + (last - came) * (1 - better))
        yield Entry(naive, models.NAIVE, "baseline", cutoff)
        yield Entry(replace(ours, last_close=last), "one", "champion", cutoff)


def ask(database: Database, settings: Settings) -> RetrainingDecision | None:
    with database.begin() as connection:
        return retraining.ask_where_due(connection, settings, [KIND]).get(KIND)


def asked(database: Database) -> list[runs.RunRow]:
    with database.begin() as connection:
        return runs.recent(connection, limit=10, job="training")


def answered(database: Database, name: str) -> None:
    """Let the request be run, and a training end."""
    with database.begin() as connection:
        number = runs.start(connection, "training", runs.claim(connection, "training"), holder="a test")
        runs.finish(connection, number, state="succeeded", exit_code=0)
    trained(database, 0, name)


def pass_time(database: Database, hours: float) -> None:
    with database.begin() as connection:
        later = text("UPDATE venue_status SET clock_start = clock_start + make_interval(hours => :hours)")
        connection.execute(later, {"hours": int(hours)})


def test_a_model_that_was_never_trained_is_left_to_the_schedule(known: Database, settings: Settings) -> None:
    assert ask(known, settings) is None
    assert asked(known) == []


def test_age_asks_for_all_series_of_the_model_and_says_why(known: Database, settings: Settings) -> None:
    trained(known, 25)
    decision = ask(known, settings)
    assert decision is not None
    assert decision.train
    (row,) = asked(known)
    assert (row.state, row.requested_by) == ("queued", "retraining")
    assert row.parameters == {"series": [str(BTC), str(ETH)]}
    assert row.reason == "replay 15m: the last training was 25.0 h ago, 24 h is the longest"
    assert ask(known, settings) is None, "a training waits"
    answered(known, "two")
    (row,) = asked(known)
    assert (row.state, row.reason) == ("succeeded", "replay 15m: the last training was 25.0 h ago, 24 h is the longest")
    decision = ask(known, settings)
    assert decision is not None
    assert (decision.train, decision.reason) == (False, "no need")


def test_drift_asks_once_until_it_is_over(known: Database, settings: Settings) -> None:
    trained(known, 10)
    drifted(known, 0.5, hours=1)
    decision = ask(known, settings)
    assert decision is not None
    assert (decision.train, decision.reason) == (True, "50 % of the columns have drifted")
    answered(known, "two")
    pass_time(known, 8)
    drifted(known, 0.5, hours=-8)
    decision = ask(known, settings)
    assert decision is not None
    assert (decision.train, decision.reason) == (False, "no need: the alarm of drift was answered and is not over")
    drifted(known, 0.1, hours=-8)
    ask(known, settings)
    drifted(known, 0.5, hours=-8)
    decision = ask(known, settings)
    assert decision is not None
    assert decision.train


def test_drift_from_before_the_training_is_not_known_to_last(known: Database, settings: Settings) -> None:
    drifted(known, 0.9, hours=11)
    trained(known, 10)
    decision = ask(known, settings)
    assert decision is not None
    assert not decision.train
    assert "drift_share" not in decision.numbers


@pytest.mark.parametrize(("better", "train"), [(-0.5, True), (0.5, False)])
def test_poor_live_skill_asks(known: Database, settings: Settings, better: float, train: bool) -> None:
    trained(known, 10)
    with known.begin() as connection:
        ledger.record(connection, BTC, list(spoken(better)))
    decision = ask(known, settings)
    assert decision is not None
    assert decision.train is train
    assert decision.numbers["skill"] == pytest.approx(better)
    assert decision.numbers["skill_count"] == 300
    assert ("live skill is -0.5" in decision.reason) is train


def test_the_settings_bound_how_often(known: Database, settings: Settings) -> None:
    for place, hours in enumerate((23, 20, 10)):
        trained(known, hours, str(place))
    drifted(known, 0.5, hours=1)
    decision = ask(known, settings)
    assert decision is not None
    assert (decision.train, "3 trainings within 24 h" in decision.reason) == (False, True)
    generous = settings.model_copy(update={"retrain_daily_budget": 4})
    decision = ask(known, generous.model_copy(update={"retrain_minimum_hours": 11.0}))
    assert decision is not None
    assert (decision.train, "11 h is the least" in decision.reason) == (False, True)
    decision = ask(known, generous)
    assert decision is not None
    assert decision.train


def test_a_training_that_failed_counts_as_a_try(known: Database, settings: Settings) -> None:
    trained(known, 30)
    decision = ask(known, settings)
    assert decision is not None
    assert decision.train
    with known.begin() as connection:
        number = runs.start(connection, "training", runs.claim(connection, "training"), holder="a test")
        runs.finish(connection, number, state="failed", exit_code=70)
    decision = ask(known, settings)
    assert decision is not None
    assert not decision.train
    assert decision.numbers["age_hours"] == pytest.approx(0, abs=1e-6)


def test_retention_keeps_the_newest_decision(known: Database, settings: Settings) -> None:
    trained(known, 10)
    for _ in range(3):
        ask(known, settings)
    month = timedelta(days=30)
    with known.begin() as connection:
        connection.execute(text("UPDATE retraining_decision SET recorded_at = recorded_at - interval '31 days'"))
        assert prune(connection, RetentionPolicy(month, month, month), dry_run=False)["decisions"] == 2
        ids = connection.execute(text("SELECT id FROM retraining_decision")).scalars()
        assert np.array_equal(list(ids), [3])
