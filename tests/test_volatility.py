import math

import numpy as np
import pytest

from candlecast.candles import Candles, Interval
from candlecast.volatility import FLOOR, LAGS, SPAN, ewma_weights, garman_klass, trailing_mean, unbroken, volatility
from tests.making import make_candles


def test_garman_klass_is_the_published_formula() -> None:
    candles = Candles.of(
        Interval.H1, open_time=[0], open=[100.0], high=[103.0], low=[98.0], close=[101.0], volume=[1.0]
    )
    expected = 0.5 * math.log(103 / 98) ** 2 - (2 * math.log(2) - 1) * math.log(101 / 100) ** 2
    assert garman_klass(candles)[0] == pytest.approx(expected)


def test_variance_of_a_candle_without_range_is_the_floor() -> None:
    candles = Candles.of(Interval.H1, open_time=[0], open=[5.0], high=[5.0], low=[5.0], close=[5.0], volume=[0.0])
    assert garman_klass(candles)[0] == FLOOR


def test_garman_klass_of_a_random_walk_is_near_its_variance() -> None:
    random = np.random.default_rng(3)
    steps = random.normal(0, 0.001 / math.sqrt(400), (4000, 400))
    paths = np.concatenate([np.zeros((4000, 1)), np.cumsum(steps, axis=1)], axis=1)
    candles = Candles.of(
        Interval.M1,
        open_time=60_000 * np.arange(4000),
        open=np.ones(4000),
        high=np.exp(paths.max(axis=1)),
        low=np.exp(paths.min(axis=1)),
        close=np.exp(paths[:, -1]),
        volume=np.ones(4000),
    )
    # 400 steps miss some of the true range, so a little below 1.
    assert garman_klass(candles).mean() / 0.001**2 == pytest.approx(0.95, abs=0.06)


def test_weights_sum_to_one_and_fall_as_the_span_says() -> None:
    weights = ewma_weights(9, 30)
    assert weights.sum() == pytest.approx(1)
    assert weights[1:] / weights[:-1] == pytest.approx(0.8)


def test_trailing_mean_weighs_the_newest_value_first() -> None:
    means = trailing_mean(np.array([1.0, 10.0, 100.0]), np.array([0.75, 0.25]))
    assert np.isnan(means[0])
    assert means[1:].tolist() == [7.75, 77.5]


def test_trailing_mean_of_too_few_values_is_unknown() -> None:
    assert np.isnan(trailing_mean(np.ones(2), np.full(3, 1 / 3))).all()


def test_volatility_is_a_slow_obvious_sum() -> None:
    candles = make_candles(LAGS + 5)
    variance = garman_klass(candles)
    factors = [(1 - 2 / (SPAN + 1)) ** lag for lag in range(LAGS)]
    for row in (LAGS - 1, LAGS + 4):
        mean = sum(f * variance[row - lag] for lag, f in enumerate(factors)) / sum(factors)
        assert volatility(candles)[row] == pytest.approx(math.sqrt(mean))


def test_volatility_does_not_depend_on_where_the_history_starts() -> None:
    candles = make_candles(3000)
    whole = volatility(candles)
    assert np.array_equal(volatility(candles[1700:])[LAGS - 1 :], whole[1700 + LAGS - 1 :])


def test_gap_leaves_exactly_the_rows_unknown_that_reach_over_it() -> None:
    candles = make_candles(600)
    holed = candles[np.arange(600) != 300]
    known = np.isfinite(volatility(holed))
    assert np.flatnonzero(~known).tolist() == [*range(LAGS - 1), *range(300, 300 + LAGS - 1)]


def test_unbroken_needs_the_whole_length() -> None:
    assert unbroken(make_candles(3), 3).tolist() == [False, False, True]
    assert unbroken(make_candles(3), 4).tolist() == [False, False, False]
