import math
from datetime import UTC, datetime

import numpy as np
import pytest

from candlecast.baseline import MINIMUM, NaiveForecaster, conformal_quantiles
from candlecast.candles import Interval, Series
from candlecast.errors import GapInWindow, NotEnoughCandles
from candlecast.forecast import INTERVALS, LEVELS, Forecaster
from candlecast.volatility import LAGS, volatility
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared

SERIES = Series.parse("binance:BTC-USDT:15m")


def test_close_stays_and_nothing_is_said_about_direction() -> None:
    candles = make_candles(600)
    forecaster: Forecaster = NaiveForecaster([5, 1])
    forecasts = forecaster.forecast(SERIES, candles)
    assert [one.horizon for one in forecasts] == [1, 5]
    for one in forecasts:
        assert one.cutoff == candles.cutoff
        assert one.target_time == candles.cutoff + one.horizon * candles.interval.delta
        assert one.close == one.last_close == candles.close[-1]
        assert one.p_up is None


@pytest.mark.parametrize("horizon", [1, 5])
def test_quantiles_are_those_of_past_moves_beside_a_fixed_shape(horizon: int) -> None:
    candles = make_candles(600)
    (one,) = NaiveForecaster([horizon]).forecast(SERIES, candles)
    window = candles[-512:]
    sig, price = volatility(window), np.log(window.close)
    rows = range(LAGS - 1, 512 - horizon)
    moves = sorted(abs(price[row + horizon] - price[row]) / sig[row] / math.sqrt(horizon) for row in rows)
    seen = float(np.interp(0.95 * (len(moves) + 1) - 1, range(len(moves)), moves))
    independent = len(moves) / horizon
    size = (sum(moves) / horizon + 40 * 0.733) / (independent + 40)
    standard = (independent * seen + 320 * 2.788 * size) / (independent + 320)
    reach = standard * sig[-1] * math.sqrt(horizon)
    assert one.quantiles[LEVELS.index(0.975)] == pytest.approx(candles.close[-1] * math.exp(reach))
    assert one.quantiles[LEVELS.index(0.025)] == pytest.approx(candles.close[-1] * math.exp(-reach))
    assert one.quantiles[LEVELS.index(0.5)] == candles.close[-1]


@pytest.mark.parametrize("horizon", [1, 5])
def test_intervals_of_a_random_walk_cover_what_they_promise(horizon: int) -> None:
    candles = make_candles(9000)
    forecasts = NaiveForecaster([horizon]).forecast(SERIES, candles, last=8000)
    realised = candles.close[-8000 + horizon :]
    for percent in INTERVALS:
        bounds = np.array([one.interval(percent) for one in forecasts[:-horizon]])
        covered = ((bounds[:, 0] <= realised) & (realised <= bounds[:, 1])).mean()
        assert covered == pytest.approx(percent / 100, abs=0.03)


@requires_shared
@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15, Interval.H1])
def test_intervals_of_real_candles_cover_what_they_promise(interval: Interval) -> None:
    start = datetime(2025, 4, 1, tzinfo=UTC)
    candles = real_candles("BTC", interval, start, start + 2900 * interval.delta)
    forecasts = NaiveForecaster([1]).forecast(SERIES, candles, last=2300)
    realised = candles.close[-2299:]
    for percent in INTERVALS:
        bounds = np.array([one.interval(percent) for one in forecasts[:-1]])
        covered = ((bounds[:, 0] <= realised) & (realised <= bounds[:, 1])).mean()
        assert covered == pytest.approx(percent / 100, abs=0.03)


def test_many_cutoffs_at_once_are_the_same_as_one_by_one() -> None:
    candles = make_candles(530)
    forecaster = NaiveForecaster([1, 5])
    together = forecaster.forecast(SERIES, candles, last=40)
    alone = [one for end in range(491, 531) for one in forecaster.forecast(SERIES, candles[:end])]
    assert together == alone


def test_only_the_window_is_read() -> None:
    candles = make_candles(700)
    forecaster = NaiveForecaster([1])
    assert forecaster.forecast(SERIES, candles) == forecaster.forecast(SERIES, candles[-forecaster.window :])
    assert forecaster.forecast(SERIES, candles) != forecaster.forecast(SERIES, candles[-forecaster.window + 100 :])


@pytest.mark.parametrize("horizons", [[1], [1, 5], [100]])
def test_new_series_is_served_from_the_minimum_on(horizons: list[int]) -> None:
    forecaster = NaiveForecaster(horizons)
    assert forecaster.minimum == MINIMUM == 50
    (*_, one) = forecaster.forecast(SERIES, make_candles(50))
    assert one.quantiles[0] < one.last_close < one.quantiles[-1]
    with pytest.raises(NotEnoughCandles, match="have 49 candles, need 50") as caught:
        forecaster.forecast(SERIES, make_candles(49))
    assert caught.value.details == {"have": 49, "need": 50}


def test_each_further_cutoff_needs_one_more_candle() -> None:
    forecaster = NaiveForecaster([1])
    assert len(forecaster.forecast(None, make_candles(59), last=10)) == 10
    with pytest.raises(NotEnoughCandles, match="have 58 candles, need 59"):
        forecaster.forecast(None, make_candles(58), last=10)


def test_gap_in_the_window_is_refused_and_one_before_it_is_not() -> None:
    holed = make_candles(701)[np.arange(701) != 188]
    assert holed.cutoff == make_candles(701).cutoff
    NaiveForecaster([1]).forecast(SERIES, holed)
    with pytest.raises(GapInWindow, match="binance:BTC-USDT:15m"):
        NaiveForecaster([1]).forecast(SERIES, holed, last=2)


def test_market_that_never_moves_still_gets_an_interval() -> None:
    candles = make_candles(100)
    for column in (candles.open, candles.high, candles.low, candles.close):
        column[:] = 7.0
    (one,) = NaiveForecaster([1]).forecast(None, candles)
    assert one.quantiles[0] < 7.0 < one.quantiles[-1]


@pytest.mark.parametrize(("calibrated", "slack"), [(22, 0.1), (102, 0.05), (2491, 0.01)])
def test_conformal_coverage_is_as_published(calibrated: int, slack: float) -> None:
    # Angelopoulos and Bates (2021), A Gentle Introduction to Conformal Prediction, table 1: with so many calibration
    # points the coverage of a 90 % set is within the slack with probability 0.9; on average it is 0.9 exactly.
    distances = np.random.default_rng(7).uniform(size=(4000, calibrated))
    coverage = conformal_quantiles(distances)[:, LEVELS.index(0.95)]  # of uniform distances, a quantile is its share
    assert coverage.mean() == pytest.approx(0.9, abs=4 * coverage.std() / math.sqrt(4000))
    assert (np.abs(coverage - 0.9) <= slack).mean() >= 0.9 - 0.02


def test_conformal_quantiles_take_the_n_plus_one_rule() -> None:
    distances = np.arange(1.0, 100.0)[None]  # 99 of them: the p quantile is the (100 p)th
    upper = conformal_quantiles(distances)[0, LEVELS.index(0.5) :]
    assert upper == pytest.approx([0.0, 20, 40, 60, 80, 90, 95])
    assert conformal_quantiles(distances)[0].tolist() == (-conformal_quantiles(distances)[0][::-1]).tolist()
