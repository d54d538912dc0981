"""What led to a forecast, as the service tells it: additive, of the forecast in the ledger, and in words."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.features import FeatureSpec
from candlecast.settings import load_settings
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from service.board import Board
from service.explanation import Explanations
from service.feature_words import describe
from tests.service.house import EMPTY, NOON, House, body, service_environment, serving, set_clock, store, walk
from tests.waiting import eventually

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
PARTS = Series.parse("replay:BTC-USDT:5m")
WORLD: dict[Series, Candles] = {
    BTC: walk(Interval.M15, 1500),
    ETH: walk(Interval.M15, 1500, seed=2),
    PARTS: walk(Interval.M5, 4500, seed=3),
}


@pytest.fixture(scope="module")
def model() -> XGBForecaster:
    return XGBForecaster.fit({one: WORLD[one] for one in (BTC, ETH)}, [1, 5], seed=1, known=WORLD)


def _fill(database: Database, model: XGBForecaster) -> None:
    """Store the world, and make the model the champion of 15m candles: one that reads the market."""
    set_clock(database, NOON)
    for series, candles in WORLD.items():
        store(database, series, candles)
    manifest = json.loads(json.dumps(model.manifest))
    version = Version("first", "xgboost", "replay", BTC.interval, NOON, manifest, None, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON, reason="a test says so")


@pytest.fixture
def trained(database: Database, database_url: str, model: XGBForecaster, tmp_path: Path) -> Iterator[House]:
    """Return a service with that champion."""
    _fill(database, model)
    names = ",".join(map(str, [*WORLD, EMPTY]))
    with serving(service_environment(database_url, tmp_path, names), database, tmp_path) as house:
        eventually(lambda: house.latest(BTC)["status"] == "ok")
        yield house


def _explained(house: House, series: Series, horizon: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/v1/forecasts/latest/explanation", series=str(series), horizon=horizon)
    return found


def test_an_explanation_adds_up_to_what_the_ledger_holds(trained: House) -> None:
    for horizon in (1, 5):
        found = _explained(trained, BTC, horizon)
        with trained.database.begin() as connection:
            (row,) = ledger.read(connection, BTC, horizon, roles=("champion",))
        said = row.entry.forecast
        assert said.p_up is not None
        assert (found["p_up"], found["model_version"]) == (said.p_up, "first")
        assert found["reproduced"] is True
        logit = found["start"] + sum(one["logit"] for one in found["contributions"])
        assert 1 / (1 + math.exp(-logit)) == pytest.approx(said.p_up, abs=1e-6)
        sizes = [abs(one["logit"]) for one in found["contributions"]]
        assert sizes == sorted(sizes, reverse=True)
        assert f"{100 * said.p_up:.1f} %" in found["summary"][0]
    near = _explained(trained, BTC)
    first = near["contributions"][0]
    assert any(first["words"] in sentence for sentence in near["summary"][1:])
    assert {one["feature"].split("_")[0] for one in near["contributions"]} & {"newest", "market", "part"}

    _check_silence(trained)
    _check_own_candles(trained)
    _check_corrected_candle(trained)


def _check_silence(house: House) -> None:
    baseline = _explained(house, PARTS)
    assert (baseline["status"], baseline["p_up"], baseline["contributions"]) == ("baseline", None, [])
    assert baseline["summary"] == ["No model answers yet. The baseline expects no change."]
    silent = _explained(house, EMPTY)
    assert (silent["status"], silent["reason"]) == ("abstained", "no_candles")
    response = house.http.get("/v1/forecasts/latest/explanation", params={"series": str(BTC), "horizon": 2})
    assert (response.status_code, response.json()["code"]) == (400, "usage_error")


def _check_own_candles(house: House) -> None:
    """Candles sent of a series that is served get what the ledger holds; of others, what they alone give."""
    newest = WORLD[BTC][-600:]
    for horizon in (1, 5):
        own = _own(house, newest, series=str(BTC), horizons=[horizon])
        said = house.latest(BTC, horizon)
        assert own["market"] is True
        (forecast,) = own["forecasts"]
        assert [forecast[name] for name in ("p_up", "point", "quantiles")] == [
            said[name] for name in ("p_up", "point", "quantiles")
        ]
    several = _own(house, newest, series=str(BTC), horizons=[1], last=3)["forecasts"]
    each = [_own(house, newest[:end], series=str(BTC), horizons=[1])["forecasts"] for end in (598, 599, 600)]
    assert [[one] for one in several] == each
    alone = _own(house, newest, series="replay:DOGE-USDT:15m", horizons=[1])
    assert alone["market"] is False
    assert alone["forecasts"][0]["p_up"] != several[-1]["p_up"]
    later = _own(house, walk(Interval.M15, 600, end=NOON + BTC.interval.delta), series=str(BTC), horizons=[1])
    assert later["market"] is False, "of that moment nothing is stored"


def _own(house: House, candles: Candles, **more: Any) -> dict[str, Any]:
    response = house.http.post("/v1/forecasts", json=body(candles, **more))
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def _check_corrected_candle(house: House) -> None:
    """Candles that the venue restates later explain another forecast than the one in the ledger: it says so.

    What was explained before stays as it was, without a look at the database.
    """
    before = _explained(house, BTC)
    for series in (BTC, ETH):
        store(house.database, series, walk(Interval.M15, 1500, seed=9)[1490:1499])
    found = _explained(house, ETH)
    assert found["reproduced"] is False
    assert found["p_up"] is not None
    with house.database.begin() as connection:
        connection.execute(text("DELETE FROM model_artifact"))
    assert _explained(house, BTC) == before
    assert before["reproduced"] is True


def test_of_explanations_the_oldest_are_forgotten(database: Database, database_url: str, model: XGBForecaster) -> None:
    _fill(database, model)
    board = Board(load_settings(database_url=database_url, series=f"{BTC},{ETH}"), database)
    explanations = Explanations(board, most_kept=1)
    said = {series: model.forecast(series, WORLD[series])[0] for series in (BTC, ETH)}
    first = explanations.of(BTC, "first", said[BTC])
    assert explanations.of(BTC, "first", said[BTC]) is first
    explanations.of(ETH, "first", said[ETH])
    assert explanations.of(BTC, "first", said[BTC]) is not first


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.H1, Interval.D1])
def test_every_feature_has_words(interval: Interval) -> None:
    for name in FeatureSpec(interval).names:
        for feature in (name, f"newest_5m_{name}"):
            words = describe(feature)
            assert words
            assert "_" not in words, feature
