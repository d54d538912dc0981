"""What a version would have said: by twins that walked forward, and where too little came before, in sample."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Series, from_datetime64, to_datetime64
from candlecast.evaluation import judge
from candlecast.jobs import run_job
from candlecast.settings import load_settings
from candlecast.store import candles as candle_store
from candlecast.store import models, runs
from candlecast.store.database import Database
from candlecast.xgb import XGBForecaster
from tests.making import make_candles
from training.hindsight import Hindsight, look_back
from training.job import train_models

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
WALKS = {BTC: make_candles(2300), ETH: make_candles(2200, seed=2)}
STEP = BTC.interval.delta
MINIMUM = 2000
FIRST = from_datetime64(WALKS[BTC].close_time[MINIMUM - 1]) + 5 * STEP
"""The first cutoff that a twin is judged on: the longest horizon after what it learned."""


@pytest.fixture(scope="module")
def version() -> XGBForecaster:
    return XGBForecaster.fit(WALKS, [1, 5], seed=1)


@pytest.fixture(scope="module")
def found(version: XGBForecaster) -> list[Hindsight]:
    return look_back(version, WALKS, seed=1, threads=1, minimum=MINIMUM)


def part(found: list[Hindsight], series: Series, *, in_sample: bool) -> Hindsight:
    (one,) = [one for one in found if one.series == series and one.in_sample is in_sample]
    return one


@pytest.mark.parametrize("series", WALKS)
def test_every_cutoff_of_the_newest_days_is_told_once(found: list[Hindsight], series: Series) -> None:
    for horizon in (1, 5):
        before, after = (part(found, series, in_sample=flag).judged[horizon].cutoff for flag in (True, False))
        told = np.concatenate([before, after])
        assert (np.diff(told) == series.interval.step).all()
        assert from_datetime64(after[0]) == FIRST
        assert told[0] == WALKS[series].close_time[511]
        assert told[-1] == WALKS[series].close_time[-1 - horizon]


def test_a_twin_that_saw_nothing_of_it_speaks_out_of_sample(found: list[Hindsight]) -> None:
    end = to_datetime64(FIRST - 5 * STEP)
    seen = {series: candles[candles.close_time <= end] for series, candles in WALKS.items()}
    twin = XGBForecaster.fit(seen, [1, 5], seed=1)
    told = part(found, ETH, in_sample=False).judged[1]
    expected = judge(twin, ETH, WALKS[ETH], FIRST, WALKS[BTC].cutoff, WALKS)[1]
    np.testing.assert_array_equal(told.close, expected.close)
    np.testing.assert_array_equal(told.p_up, expected.p_up)


def test_the_version_itself_speaks_of_what_it_learned(found: list[Hindsight], version: XGBForecaster) -> None:
    told = part(found, BTC, in_sample=True).judged[5]
    expected = judge(version, BTC, WALKS[BTC], FIRST - timedelta(days=90), FIRST, WALKS)[5]
    np.testing.assert_array_equal(told.quantiles, expected.quantiles)


def test_too_few_candles_to_walk_are_told_in_sample(version: XGBForecaster) -> None:
    found = look_back(version, WALKS, seed=1, threads=1, minimum=5000)
    assert part(found, BTC, in_sample=False).judged == {}
    assert part(found, BTC, in_sample=True).judged[1].cutoff[-1] == WALKS[BTC].close_time[-2]


def _stored(database: Database, candles: dict[Series, Candles]) -> None:
    with database.begin() as connection:
        for series, those in candles.items():
            candle_store.upsert(connection, series, those, source="replay", now=those.cutoff)


def _told(database: Database) -> dict[str, int]:
    count = text("SELECT model_version, count(*) AS told FROM evaluation_forecast WHERE NOT in_sample GROUP BY 1")
    with database.begin() as connection:
        return {row.model_version: row.told for row in connection.execute(count)}


def test_training_writes_hindsight_unless_a_champion_stays(database: Database, database_url: str) -> None:
    settings = load_settings(database_url=database_url, series=str(BTC), horizons="1,5")
    _stored(database, {BTC: WALKS[BTC]})
    assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    with database.begin() as connection:
        (first,) = models.versions(connection)
    assert first.decision is not None
    assert not first.decision["promote"], "a random walk"
    assert _told(database) == {first.id: 295 + 291}, "one and five candles ahead, from FIRST on, where a close came"
    with database.begin() as connection:
        models.promote(connection, first, now=WALKS[BTC].cutoff, reason="a test")
        runs.ask(connection, "training", {}, requested_by="anna")
    assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    assert set(_told(database)) == {first.id}
