import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # ships no types
from sklearn.metrics import (  # type: ignore[import-untyped]  # ships no types
    brier_score_loss,
    log_loss,
    mean_pinball_loss,
    roc_auc_score,
)
from statsmodels.tsa.stattools import diebold_mariano_test  # type: ignore[import-untyped]  # ships no types

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Floats, Interval, Series, from_datetime64
from candlecast.evaluation import (
    Judged,
    auc,
    diebold_mariano,
    hold_out,
    judge,
    newey_west_variance,
    pooled_losses,
    score,
    skill_interval,
    student_t_cdf,
    walk_forward,
)
from candlecast.forecast import LEVELS, Forecast
from candlecast.market import NOTHING, KnownCandles
from tests.making import START, make_candles

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")


def _judged(rows: int = 300, seed: int = 1) -> Judged:
    random = np.random.default_rng(seed)
    last = random.uniform(50, 150, rows)
    return Judged(
        1,
        np.datetime64("2025-09-01", "ms") + np.arange(rows) * np.timedelta64(900_000, "ms"),
        last,
        last * np.exp(random.normal(0, 0.001, rows)),
        last[:, None] * (1 + 0.004 * (np.array(LEVELS) - 0.5)),
        random.uniform(0.2, 0.8, rows).round(2),
        last * np.exp(random.normal(0, 0.002, rows)),
    )


def test_hold_out_is_the_newest_share_and_starts_after_the_embargo() -> None:
    candles = make_candles(1000)
    split = hold_out(candles.close_time, candles.interval, 0.2, embargo=timedelta(hours=1))
    assert split.train_end == from_datetime64(candles.close_time[800])
    assert split.test_start == split.train_end + timedelta(hours=1)
    assert split.test_end > candles.cutoff


def test_hold_out_of_pooled_series_counts_rows_not_days() -> None:
    long, short = make_candles(1000), make_candles(1000)[-100:]
    cutoffs = np.concatenate([long.close_time, short.close_time])
    split = hold_out(cutoffs, long.interval, 0.2)
    assert (cutoffs >= np.datetime64(split.test_start.replace(tzinfo=None))).sum() == pytest.approx(220, abs=1)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_hold_out_of_nothing_or_everything_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out(make_candles(10).close_time, Interval.M15, share)


def test_walk_forward_judges_every_cutoff_once_after_an_embargo() -> None:
    day = timedelta(days=1)
    windows = walk_forward(START, START + 10 * day, 4 * day, embargo=timedelta(hours=2))
    assert [w.test_start for w in windows] == [START, START + 4 * day, START + 8 * day]
    assert [w.test_end for w in windows] == [START + 4 * day, START + 8 * day, START + 10 * day]
    assert all(w.test_start - w.train_end == timedelta(hours=2) for w in windows)
    with pytest.raises(ValueError, match="step"):
        walk_forward(START, START + day, timedelta(0))


class _LastReturnAgain:
    """A forecaster whose every number can be checked by hand."""

    window = 512
    horizons: Sequence[int] = (1, 3)

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        return [self._one(candles[: end + 1], h) for end in range(len(candles) - last, len(candles)) for h in (1, 3)]

    def _one(self, candles: Candles, horizon: int) -> Forecast:
        close = float(candles.close[-1])
        target = candles.cutoff + horizon * candles.interval.delta
        said = close**2 / float(candles.close[-2])
        quantiles = tuple(said * (1 + level / 100) for level in LEVELS)
        return Forecast(candles.cutoff, horizon, target, close, said, quantiles, 0.5)


@pytest.mark.parametrize("horizon", [1, 3])
def test_judge_puts_each_forecast_beside_the_close_of_its_target(horizon: int) -> None:
    candles = make_candles(2000)
    start, end = from_datetime64(candles.close_time[700]), from_datetime64(candles.close_time[1900])
    judged = judge(_LastReturnAgain(), BTC, candles, start, end)[horizon]
    assert judged.cutoff.tolist() == candles.close_time[700:1900].tolist()
    assert judged.realised.tolist() == candles.close[700 + horizon : 1900 + horizon].tolist()
    assert judged.last_close.tolist() == candles.close[700:1900].tolist()
    assert judged.close == pytest.approx(candles.close[700:1900] ** 2 / candles.close[699:1899])


@pytest.mark.parametrize("horizon", [1, 3])
def test_judge_leaves_out_cutoffs_without_window_or_target(horizon: int) -> None:
    candles = make_candles(1500)
    holed = candles[np.arange(1500) != 600]
    judged = judge(_LastReturnAgain(), BTC, holed, START, candles.cutoff + timedelta(days=1))[horizon]
    there = [r for r in range(511, 1500 - horizon) if r + horizon != 600 and not r - 511 <= 600 <= r]
    assert judged.cutoff.tolist() == candles.close_time[there].tolist()
    assert judged.realised.tolist() == candles.close[[r + horizon for r in there]].tolist()


def test_judge_of_a_window_without_cutoffs_is_empty() -> None:
    judged = judge(NaiveForecaster([1]), BTC, make_candles(600), START, START)[1]
    assert len(judged) == 0
    assert score(judged) == {}


def test_judgements_that_follow_each_other_are_joined_and_what_is_not_said_is_not_there() -> None:
    judged = _judged()
    early = np.arange(300) < 120
    joined = Judged.concatenate([judged.rows(early), judged.rows(~early)])
    for name in ("cutoff", "last_close", "close", "quantiles", "p_up", "realised"):
        assert np.array_equal(getattr(joined, name), getattr(judged, name))
    point = judged.only({"close"})
    assert np.array_equal(point.close, judged.close)
    assert np.isnan(point.quantiles).all()
    assert np.isnan(point.p_up).all()


def test_scores_are_those_of_slow_and_foreign_implementations() -> None:
    judged = _judged()
    scores = score(judged)
    last, real, chance = judged.last_close, judged.realised, judged.p_up
    up = real > last
    mae = sum(abs(c - r) / p for c, r, p in zip(judged.close, real, last, strict=True)) / 300
    naive = sum(abs(p - r) / p for r, p in zip(real, last, strict=True)) / 300
    pinball = np.mean(
        [mean_pinball_loss(real / last, judged.quantiles[:, i] / last, alpha=level) for i, level in enumerate(LEVELS)]
    )
    assert scores["mae"] == pytest.approx(mae)
    assert scores["mae_ratio"] == pytest.approx(mae / naive)
    assert scores["skill"] == pytest.approx(1 - mae / naive)
    assert scores["pinball"] == pytest.approx(pinball)
    assert scores["coverage_80"] == np.mean((judged.quantiles[:, 2] <= real) & (real <= judged.quantiles[:, 10]))
    assert scores["coverage_95"] == np.mean((judged.quantiles[:, 0] <= real) & (real <= judged.quantiles[:, 12]))
    assert scores["accuracy"] == pytest.approx(np.mean((chance > 0.5) == up))
    assert scores["auc"] == pytest.approx(roc_auc_score(up, chance))
    assert scores["brier"] == pytest.approx(brier_score_loss(up, chance))
    assert scores["log_loss"] == pytest.approx(log_loss(up, chance))


def test_candle_that_did_not_move_has_no_direction_to_score() -> None:
    judged = _judged()
    judged.realised[0] = judged.last_close[0]
    judged.p_up[0] = 1.0
    assert score(judged)["brier"] == pytest.approx(score(judged.rows(np.arange(300) > 0))["brier"])


def test_forecaster_without_p_up_has_no_direction_scores() -> None:
    judged = _judged()
    judged.p_up[:] = np.nan
    assert "auc" not in score(judged)
    assert "mae" in score(judged)


def test_auc_counts_ties_half_and_needs_both_directions() -> None:
    assert auc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5
    assert auc(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert math.isnan(auc(np.array([0.1, 0.9]), np.array([True, True])))


def test_newey_west_is_the_double_sum_over_neighbours() -> None:
    values = np.random.default_rng(2).normal(size=150).cumsum()
    mean = values.mean()
    lags = 24
    double = sum(
        max(0.0, 1 - abs(i - j) / (lags + 1)) * (values[i] - mean) * (values[j] - mean)
        for i in range(150)
        for j in range(150)
    )
    assert newey_west_variance(values, horizon=7) == pytest.approx(double / 150**2)


def test_newey_west_of_independent_values_is_the_textbook_variance() -> None:
    values = np.random.default_rng(4).normal(0, 2, 20_000)
    assert newey_west_variance(values, 1) == pytest.approx(4 / 20_000, rel=0.1)


def test_skill_interval_covers_the_true_skill_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(8)
    hits = 0
    for _ in range(400):
        shocks = np.abs(random.normal(1, 0.5, 1504))
        naive = np.convolve(shocks, np.full(5, 0.2), "valid")  # overlapping targets, as at horizon 5
        errors = 0.9 * naive + np.convolve(random.normal(0, 0.2, 1504), np.full(5, 0.2), "valid")
        _, lower, upper = skill_interval(errors, naive, 5)
        hits += lower <= 0.1 <= upper
    assert 0.92 <= hits / 400 <= 0.98


def test_skill_that_never_varies_is_certain_however_much_the_market_does() -> None:
    naive = np.random.default_rng(9).exponential(1, 500)
    assert skill_interval(0.7 * naive, naive, 1) == pytest.approx((0.3, 0.3, 0.3))


def test_skill_of_few_forecasts_is_not_stated() -> None:
    assert all(math.isnan(value) for value in skill_interval(np.ones(99), np.ones(99), 1))
    assert skill_interval(np.ones(100), np.full(100, 2.0), 1) == pytest.approx((0.5, 0.5, 0.5))
    assert all(math.isnan(value) for value in skill_interval(np.zeros(100), np.zeros(100), 1))


def test_diebold_mariano_of_independent_losses_is_a_paired_t_test() -> None:
    random = np.random.default_rng(6)
    first, second = random.normal(1, 1, 5000), random.normal(1.03, 1, 5000)
    ours, theirs = diebold_mariano(first, second, 1), stats.ttest_rel(first, second, alternative="less")
    assert ours.mean_difference == pytest.approx(float((first - second).mean()))
    assert ours.statistic == pytest.approx(theirs.statistic, rel=0.1)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)


def test_diebold_mariano_shrinks_by_the_harvey_correction() -> None:
    difference = np.random.default_rng(7).normal(0.2, 1, 120)
    plain = difference.mean() / math.sqrt(newey_west_variance(difference, 5))
    correction = math.sqrt((120 + 1 - 10 + 5 * 4 / 120) / 120)
    ours = diebold_mariano(difference, np.zeros(120), 5)
    assert ours.statistic == pytest.approx(plain * correction)
    assert ours.p_value == pytest.approx(stats.t.cdf(plain * correction, 119))


def _shuffled(random: Random) -> Floats:
    """Return 0..99 in the order in which Python 2's random.sample drew them."""
    pool, drawn = list(range(100)), []
    for left in range(100, 0, -1):
        at = int(random.random() * left)
        drawn.append(float(pool[at]))
        pool[at] = pool[left - 1]
    return np.array(drawn)


@pytest.mark.parametrize(
    ("power", "statistic", "p_value"),
    [
        (1, 1.3275742446369585, 0.18737195617455585),
        (2, 1.2112523589452902, 0.22868210381769466),
        (4, 0.9124498079287283, 0.36374861695187799),
    ],
)
def test_diebold_mariano_gives_the_published_numbers(power: int, statistic: float, p_value: float) -> None:
    # The worked example in the documentation of github.com/johntwk/Diebold-Mariano-Test (random.seed(123), h = 1,
    # losses |e|, e^2 and e^4), two-sided p.
    random = Random(123)  # noqa: S311  # the example's own generator
    actual, first, second = (_shuffled(random) for _ in range(3))
    ours = diebold_mariano(np.abs(actual - first) ** power, np.abs(actual - second) ** power, 1, lags=0)
    assert ours.statistic == pytest.approx(statistic, rel=1e-12)
    assert 2 * (1 - ours.p_value) == pytest.approx(p_value, rel=1e-9)


@pytest.mark.parametrize(("horizon", "lags"), [(1, 4), (5, 16)])
def test_diebold_mariano_with_neighbours_is_that_of_another_library(horizon: int, lags: int) -> None:
    random = np.random.default_rng(11)
    real, first, second = random.normal(size=(3, 400))
    theirs = diebold_mariano_test(real, first, second, lags=lags, criterion="mad", harvey_adj=True, horizon=horizon)
    ours = diebold_mariano(np.abs(real - first), np.abs(real - second), horizon, lags=lags)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert 2 * min(ours.p_value, 1 - ours.p_value) == pytest.approx(theirs.pvalue, rel=1e-9)


def test_diebold_mariano_says_nothing_of_equal_losses_and_of_few() -> None:
    losses = np.random.default_rng(1).normal(size=200)
    assert diebold_mariano(losses, losses, 1).p_value == 0.5
    assert diebold_mariano(losses, losses + 1, 1).p_value < 1e-6
    assert diebold_mariano(losses + 1, losses, 1).p_value > 1 - 1e-6
    assert math.isnan(diebold_mariano(losses[:99], losses[:99] + 1, 1).p_value)


@pytest.mark.parametrize("freedom", [3.0, 99.0, 20_000.0])
def test_student_t_is_scipys(freedom: float) -> None:
    for t in (-40.0, -3.0, -1.0, -1e-4, 0.0, 0.5, 1.96, 10.0):
        assert student_t_cdf(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), rel=1e-8, abs=1e-14)


def test_pooled_losses_count_each_series_in_its_own_unit_and_each_cutoff_once() -> None:
    times = np.datetime64("2025-09-01", "ms") + np.arange(3) * np.timedelta64(900_000, "ms")
    losses = {BTC: (times, np.array([1.0, 2.0, 3.0])), ETH: (times[1:], np.array([40.0, 80.0]))}
    cutoffs, values = pooled_losses(losses, {BTC: 2.0, ETH: 40.0})
    assert cutoffs.tolist() == times.tolist()
    assert values.tolist() == [0.5, 1.0, 1.75]


def test_times_are_aware() -> None:
    split = hold_out(make_candles(20).close_time, Interval.M15)
    assert split.train_end.tzinfo == UTC
    assert isinstance(split.test_end, datetime)
