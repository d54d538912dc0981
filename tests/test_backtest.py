import math
from dataclasses import replace

import numpy as np
import pytest

from candlecast.backtest import (
    Costs,
    ThresholdRule,
    Verdict,
    backtest,
    deflated_sharpe,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
)
from candlecast.candles import Interval
from candlecast.evaluation import Judged
from candlecast.forecast import LEVELS

FREE = Costs(0, 0, 0)
ALWAYS = ThresholdRule(0)


def _judged(moves: list[float], p_up: list[float]) -> Judged:
    close = 100 * np.cumprod(1 + np.array(moves))
    last = np.concatenate([[100.0], close[:-1]])
    times = np.datetime64("2025-09-01", "ms") + np.arange(len(moves)) * np.timedelta64(900_000, "ms")
    return Judged(1, times, last, last, np.repeat(last[:, None], len(LEVELS), axis=1), np.array(p_up), close)


def test_rule_holds_the_surest_rises_and_sells_falls_only_when_asked() -> None:
    p_up = np.array([0.5, 0.51, 0.55, 0.45, 0.49, np.nan])
    assert ThresholdRule(0).positions(p_up).tolist() == [0, 1, 1, 0, 0, 0]
    assert ThresholdRule(0.05).positions(p_up).tolist() == [0, 0, 1, 0, 0, 0]
    assert ThresholdRule(0.05, short=True).positions(p_up).tolist() == [0, 0, 1, -1, 0, 0]


def test_every_change_of_position_pays_and_holding_on_is_free() -> None:
    found = backtest(
        _judged([0.01, 0.02, -0.01, 0.03], [0.6, 0.6, 0.4, 0.6]), Interval.M15, ALWAYS, Costs(0.001, 0.002, 0.0005)
    )
    side = 0.001 + 0.001 + 0.0005
    # in, hold, out, in and out at the end
    assert found.net == pytest.approx([0.01 - side, 0.02, -side, 0.03 - 2 * side])
    assert found.turnover == 4
    assert found.held == 0.75
    assert found.equity[-1] == pytest.approx((1.01 - side) * 1.02 * (1 - side) * (1.03 - 2 * side))
    assert found.total == found.equity[-1] - 1


def test_turning_from_long_to_short_pays_twice() -> None:
    found = backtest(_judged([0.01, -0.02], [0.6, 0.4]), Interval.M15, ThresholdRule(0, short=True), Costs(0.001, 0, 0))
    assert found.turnover == 4
    assert found.net == pytest.approx([0.01 - 0.001, 0.02 - 0.003])


def test_position_is_closed_where_the_next_cutoff_is_missing() -> None:
    judged = _judged([0.01, 0.01, 0.01], [0.6, 0.6, 0.6])
    assert backtest(judged, Interval.M15, ALWAYS, FREE).turnover == 2
    holed = judged.rows(np.array([True, False, True]))
    assert backtest(holed, Interval.M15, ALWAYS, FREE).turnover == 4


def test_break_even_fee_leaves_nothing() -> None:
    judged = _judged([0.004, -0.001, 0.003, 0.002, -0.002], [0.6, 0.4, 0.6, 0.6, 0.4])
    costs = Costs(0.001, 0.0002, 0.0003)
    fee = backtest(judged, Interval.M15, ALWAYS, costs).break_even_fee
    assert fee is not None
    assert backtest(judged, Interval.M15, ALWAYS, replace(costs, fee=fee)).net.sum() == pytest.approx(0, abs=1e-15)
    assert fee == pytest.approx(0.009 / 4 - 0.0004)


def test_no_trade_costs_nothing_and_has_no_break_even_fee() -> None:
    found = backtest(_judged([0.01, -0.01], [0.5, 0.5]), Interval.M15, ALWAYS, Costs())
    assert (found.total, found.turnover, found.break_even_fee, found.sharpe) == (0, 0, None, 0)
    assert backtest(_judged([], []), Interval.M15, ALWAYS, Costs()).total == 0


def test_buy_and_hold_pays_to_get_in_and_out() -> None:
    found = backtest(_judged([0.1, 0.1], [0.5, 0.5]), Interval.M15, ALWAYS, Costs(0.001, 0, 0))
    assert found.buy_and_hold == pytest.approx(1.21 * 0.999**2 - 1)


def test_largest_loss_is_from_the_height_before() -> None:
    found = backtest(_judged([0.5, -0.2, -0.25, 0.5], [0.6] * 4), Interval.M15, ALWAYS, FREE)
    assert found.largest_loss == pytest.approx(0.4)
    assert backtest(_judged([-0.1], [0.6]), Interval.M15, ALWAYS, FREE).largest_loss == pytest.approx(0.1)


def test_forecasts_further_ahead_are_not_traded() -> None:
    with pytest.raises(ValueError, match="not of 5 candles ahead"):
        backtest(replace(_judged([0.1], [0.6]), horizon=5), Interval.M15, ALWAYS, FREE)


def test_deflated_sharpe_of_the_papers_example() -> None:
    # Bailey and Lopez de Prado (2014), numerical example: the best of 100 trials has an annual Sharpe ratio of 2.5 over
    # 1,250 days, skewness -3, kurtosis 10; the annual ratios have variance 1/2. They give 0.1132 and 0.9004.
    threshold = expected_maximum_sharpe(0.5 / 250, 100)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / math.sqrt(250), threshold, 1250, -3, 10) == pytest.approx(0.9004, abs=5e-5)


def test_more_trials_deflate_more() -> None:
    returns = np.random.default_rng(1).normal(0.05, 1, 2000)
    chances = [deflated_sharpe(returns, 0.0005, trials) for trials in (1, 10, 1000)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.9 > 0.5 > chances[2]
    assert math.isnan(deflated_sharpe(np.zeros(10), 1, 10))


def test_best_of_skilless_rules_is_not_believed() -> None:
    random, believed = np.random.default_rng(3), 0
    rules = [ThresholdRule(t / 100, short=True) for t in range(20)]
    for _ in range(100):
        judged = _judged(random.normal(0, 0.01, 500).tolist(), random.uniform(0.2, 0.8, 500).tolist())
        verdict = Verdict.of(judged, Interval.M15, FREE, rules)
        believed += verdict.deflated_sharpe > 0.95
    assert believed <= 10


def test_no_trade_is_the_verdict_when_every_rule_loses() -> None:
    verdict = Verdict.of(
        _judged([0.001, -0.001] * 50, [0.6, 0.4] * 50), Interval.M15, Costs(fee=0.01), [ALWAYS, ThresholdRule(0.05)]
    )
    assert verdict.best is None
    assert len(verdict.tried) == 2
    assert math.isnan(verdict.deflated_sharpe)


def test_rule_that_knows_the_moves_is_found_and_believed() -> None:
    moves = np.random.default_rng(4).normal(0, 0.01, 500)
    judged = _judged(moves.tolist(), (0.5 + np.sign(moves) / 10).tolist())
    verdict = Verdict.of(judged, Interval.M15, Costs(), [ThresholdRule(0.05), ThresholdRule(0.06)], more_trials=100)
    assert verdict.best is not None
    assert verdict.best.rule.threshold == 0.05
    assert verdict.deflated_sharpe > 0.99
    assert sharpe_ratio(verdict.best.net) == verdict.best.sharpe
