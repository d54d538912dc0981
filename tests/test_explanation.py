"""What led to a forecast adds up to its probability of a rise, whichever parts of the model spoke."""

import json
import math

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import GapInWindow
from candlecast.features import FeatureSpec
from candlecast.linear import Ridge
from candlecast.market import NOTHING, KnownCandles
from candlecast.xgb import XGBForecaster
from tests.making import make_candles

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")
BTC_5, ETH_5 = Series.parse("binance:BTC-USDT:5m"), Series.parse("binance:ETH-USDT:5m")
KNOWN: KnownCandles = {
    BTC: make_candles(1500),
    ETH: make_candles(1500, seed=2),
    BTC_5: make_candles(4500, Interval.M5, seed=3),
    ETH_5: make_candles(4500, Interval.M5, seed=4),
}


@pytest.fixture(scope="module")
def model() -> XGBForecaster:
    fitted = XGBForecaster.fit({s: KNOWN[s] for s in (BTC, ETH)}, [1, 5], seed=3, known=KNOWN)
    return XGBForecaster.from_bytes(fitted.to_bytes(), json.loads(json.dumps(fitted.manifest)))


def _without(*series: Series) -> KnownCandles:
    return {one: candles for one, candles in KNOWN.items() if one not in series}


@pytest.mark.parametrize(
    ("series", "known"),
    [
        pytest.param(BTC, KNOWN, id="everything known"),
        pytest.param(BTC, _without(ETH, ETH_5), id="no market"),
        pytest.param(BTC, _without(BTC_5, ETH_5), id="no parts"),
        pytest.param(BTC, NOTHING, id="alone"),
        pytest.param(None, NOTHING, id="nobody knows whose"),
    ],
)
def test_contributions_add_up_to_the_forecast(model: XGBForecaster, series: Series | None, known: KnownCandles) -> None:
    said = model.forecast(series, KNOWN[BTC], known=known)
    explained = model.explain(series, KNOWN[BTC], known=known)
    assert [(one.cutoff, one.horizon) for one in explained] == [(one.cutoff, one.horizon) for one in said]
    for forecast, explanation in zip(said, explained, strict=True):
        assert explanation.p_up == pytest.approx(forecast.p_up, abs=1e-6)
        assert set(explanation.contributions) == set(explanation.values)
        assert set(FeatureSpec(Interval.M15).names) <= set(explanation.contributions)
    assert any(explained[0].contributions.values())


def test_the_newest_part_is_explained_where_it_spoke(model: XGBForecaster) -> None:
    near, far = model.explain(BTC, KNOWN[BTC], KNOWN)
    of_parts = [name for name in near.contributions if name.startswith("newest_5m_")]
    assert len(of_parts) == len(FeatureSpec(Interval.M5).names)
    assert any(near.contributions[name] for name in of_parts)
    assert not [name for name in far.contributions if name.startswith("newest_")]
    assert not [name for name in model.explain(BTC, KNOWN[BTC])[0].contributions if name.startswith("newest_")]


def test_values_are_those_of_the_newest_candle(model: XGBForecaster) -> None:
    (near, _) = model.explain(BTC, KNOWN[BTC])
    assert near.values["hour"] == pytest.approx(_hour(KNOWN[BTC]))
    assert math.isnan(near.values["market_return_0"])
    assert near.contributions["market_return_0"] == 0


def _hour(candles: Candles) -> float:
    return candles.cutoff.hour + candles.cutoff.minute / 60


def test_what_cannot_be_forecast_cannot_be_explained(model: XGBForecaster) -> None:
    holed = Candles.concatenate([KNOWN[BTC][:1400], KNOWN[BTC][1401:]])
    with pytest.raises(GapInWindow):
        model.explain(BTC, holed)


def test_a_ridge_regression_is_the_sum_of_its_columns() -> None:
    random = np.random.default_rng(1)
    rows, slot = random.normal(size=(300, 4)), random.integers(0, 3, 300).astype(float)
    rows[5, 2], rows[6, 1] = np.nan, 50
    ridge = Ridge.fit(rows, random.normal(size=300), 2.0, slot)
    np.testing.assert_allclose(ridge.contributions(rows, slot).sum(axis=1), ridge.predict(rows, slot), atol=1e-12)
    assert ridge.contributions(rows, slot)[5, 2] == 0
