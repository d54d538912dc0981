"""What led to a forecast, as the service tells it: additive, of the forecast in the ledger, and in words."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.features import FeatureSpec
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from service.feature_words import describe
from tests.service.house import EMPTY, NOON, House, service_environment, serving, set_clock, store, walk
from tests.waiting import eventually

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
PARTS = Series.parse("replay:BTC-USDT:5m")
WORLD: dict[Series, Candles] = {
    BTC: walk(Interval.M15, 1500),
    ETH: walk(Interval.M15, 1500, seed=2),
    PARTS: walk(Interval.M5, 4500, seed=3),
}


@pytest.fixture
def trained(database: Database, database_url: str, tmp_path: Path) -> Iterator[House]:
    """Return a service with a champion of 15m candles that reads the market."""
    set_clock(database, NOON)
    for series, candles in WORLD.items():
        store(database, series, candles)
    model = XGBForecaster.fit({one: WORLD[one] for one in (BTC, ETH)}, [1, 5], seed=1, known=WORLD)
    manifest = json.loads(json.dumps(model.manifest))
    version = Version("first", "xgboost", "replay", BTC.interval, NOON, manifest, None, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON, reason="a test says so")
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
    _check_corrected_candle(trained)


def _check_silence(house: House) -> None:
    baseline = _explained(house, PARTS)
    assert (baseline["status"], baseline["p_up"], baseline["contributions"]) == ("baseline", None, [])
    assert baseline["summary"] == ["No model answers yet. The baseline expects no change."]
    silent = _explained(house, EMPTY)
    assert (silent["status"], silent["reason"]) == ("abstained", "no_candles")
    response = house.http.get("/v1/forecasts/latest/explanation", params={"series": str(BTC), "horizon": 2})
    assert (response.status_code, response.json()["code"]) == (400, "usage_error")


def _check_corrected_candle(house: House) -> None:
    """A candle that the venue restates later explains another forecast than the one in the ledger: it says so."""
    changed = walk(Interval.M15, 1500, seed=9)
    store(house.database, BTC, changed[1490:1499])
    found = _explained(house, BTC)
    assert found["reproduced"] is False
    assert found["p_up"] is not None


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.H1, Interval.D1])
def test_every_feature_has_words(interval: Interval) -> None:
    for name in FeatureSpec(interval).names:
        for feature in (name, f"newest_5m_{name}"):
            words = describe(feature)
            assert words
            assert "_" not in words, feature
