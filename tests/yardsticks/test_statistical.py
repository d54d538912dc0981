import math
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # ships no types

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import NotEnoughCandles
from candlecast.evaluation import judge, score
from candlecast.forecast import LEVELS, Forecaster
from candlecast.volatility import volatility
from candlecast.yardsticks.base import Yardstick, log_returns
from candlecast.yardsticks.statistical import Drift, Ewma, FilteredHistoricalSimulation, Persistence, SeasonalNaive
from tests.making import START, make_candles

SERIES = Series.parse("binance:BTC-USDT:15m")
ALL: tuple[type[Yardstick], ...] = (Persistence, SeasonalNaive, Drift, Ewma, FilteredHistoricalSimulation)


@pytest.fixture(scope="module")
def walked() -> Candles:
    return make_candles(3000)


@pytest.mark.parametrize("kind", ALL)
def test_yardstick_is_a_forecaster_whose_cutoffs_read_only_their_own_past(
    kind: type[Yardstick], walked: Candles
) -> None:
    forecaster: Forecaster = kind(walked[:2000], [5, 1])
    assert forecaster.horizons == (1, 5)
    together = forecaster.forecast(SERIES, walked[:2040], 40)
    alone = [one for end in range(2001, 2041) for one in forecaster.forecast(SERIES, walked[:end])]
    windowed = [
        one for end in range(2001, 2041) for one in forecaster.forecast(SERIES, walked[end - forecaster.window : end])
    ]
    for one, other, short in zip(together, alone, windowed, strict=True):
        assert (one.cutoff, one.horizon) == (other.cutoff, other.horizon)
        assert one.close == pytest.approx(other.close, rel=1e-12) == short.close
        assert one.quantiles == pytest.approx(other.quantiles, rel=1e-12)
        assert one.quantiles == pytest.approx(short.quantiles, rel=1e-12)


def test_persistence_says_the_last_close(walked: Candles) -> None:
    (one,) = Persistence(walked, [3]).forecast(SERIES, walked)
    assert one.close == walked.close[-1] == one.last_close


@pytest.mark.parametrize(("horizon", "ago"), [(1, 96), (96, 96), (97, 192)])
def test_seasonal_naive_repeats_the_move_of_the_day_before(walked: Candles, horizon: int, ago: int) -> None:
    (one,) = SeasonalNaive(walked, [horizon]).forecast(SERIES, walked)
    then = len(walked) - 1 - ago
    assert one.close == pytest.approx(walked.close[-1] * walked.close[then + horizon] / walked.close[then])


def test_seasonal_naive_of_daily_candles_repeats_the_week_before() -> None:
    candles = make_candles(600, Interval.D1)
    (one,) = SeasonalNaive(candles, [1]).forecast(None, candles)
    assert one.close == pytest.approx(candles.close[-1] * candles.close[-7] / candles.close[-8])


def test_seasonal_naive_reaches_a_day_of_minutes_back_and_stays_where_that_is_missing() -> None:
    candles = make_candles(2000, Interval.M1)
    forecaster = SeasonalNaive(candles, [1])
    assert forecaster.window == 1441
    holed = candles[np.arange(2000) != 1000]
    (one,) = forecaster.forecast(None, holed)
    assert one.close == one.last_close


def test_drift_goes_on_as_the_history_did(walked: Candles) -> None:
    history = walked[:1000]
    (one,) = Drift(history, [2]).forecast(SERIES, walked)
    slope = (history.close[-1] / history.close[0]) ** (2 / 999)
    assert one.close == pytest.approx(walked.close[-1] * slope)
    with pytest.raises(NotEnoughCandles):
        Drift(walked[:1], [1])


def test_ewma_is_riskmetrics_recursion_with_normal_quantiles(walked: Candles) -> None:
    (one,) = Ewma(walked, [4]).forecast(SERIES, walked)
    returns = np.diff(np.log(walked.close))
    variance = returns[0] ** 2
    for value in returns[1:]:
        variance = 0.94 * variance + 0.06 * value**2
    expected = [walked.close[-1] * math.exp(stats.norm.ppf(p) * math.sqrt(4 * variance)) for p in LEVELS]
    assert one.quantiles == pytest.approx(expected, rel=1e-6)


def test_fhs_is_the_newest_standardised_moves_times_the_volatility_now(walked: Candles) -> None:
    history = walked[:2000]
    (one,) = FilteredHistoricalSimulation(history, [2]).forecast(SERIES, walked)
    sig = volatility(history)
    moves = [
        math.log(history.close[t + 2] / history.close[t]) / sig[t] / math.sqrt(2) for t in range(1998) if sig[t] > 0
    ]
    newest = moves[-int(0.15 * len(moves)) :]
    unit = volatility(walked)[-1] * math.sqrt(2)
    expected = [walked.close[-1] * math.exp(unit * q) for q in np.quantile(newest, LEVELS)]
    assert one.quantiles == pytest.approx(expected, rel=1e-12)
    assert one.close == walked.close[-1]


@pytest.mark.parametrize("kind", [Ewma, FilteredHistoricalSimulation])
def test_intervals_of_a_random_walk_cover_what_they_promise(kind: type[Yardstick]) -> None:
    candles = make_candles(9000)
    judged = judge(kind(candles[:3000], [1]), SERIES, candles, START + timedelta(days=32), candles.cutoff)[1]
    assert len(judged) > 5000
    assert score(judged)["coverage_80"] == pytest.approx(0.8, abs=0.03)
    assert score(judged)["coverage_95"] == pytest.approx(0.95, abs=0.02)


def test_fhs_needs_a_hundred_moves_whose_volatility_is_known(walked: Candles) -> None:
    FilteredHistoricalSimulation(walked[:293], [1])
    with pytest.raises(NotEnoughCandles, match="have 291 candles to learn from, need 293") as caught:
        FilteredHistoricalSimulation(walked[:291], [1])
    assert (caught.value.details["have"], caught.value.details["need"]) == (291, 293)


def test_log_returns_are_unknown_at_the_end_and_across_a_gap(walked: Candles) -> None:
    holed = walked[np.arange(len(walked)) != 10]
    moves = log_returns(holed, 2)
    assert np.flatnonzero(np.isnan(moves)).tolist() == [8, 9, len(holed) - 2, len(holed) - 1]
    assert moves[0] == pytest.approx(math.log(walked.close[2] / walked.close[0]))
