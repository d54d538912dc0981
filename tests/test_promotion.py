from dataclasses import replace

import numpy as np
import pytest

from candlecast.candles import Floats, Series
from candlecast.evaluation import Judged
from candlecast.forecast import LEVELS
from candlecast.leaks import LeakCheck
from candlecast.promotion import PromotionPolicy, decide

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")
COUNT = 800
_NORMAL = np.array([-1.96, -1.645, -1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816, 1.645, 1.96])


def _judged(
    known: float | Floats = 0.0, width: float = 1.0, seed: int = 1, count: int = COUNT, wrong: float = 0.0
) -> Judged:
    """Return forecasts that knew the share `known` of each move, were off by `wrong`, with intervals times `width`."""
    moves = np.random.default_rng(seed).normal(0, 1, COUNT)[:count]
    centre = known * moves + wrong * np.random.default_rng(seed + 100).normal(0, 1, COUNT)[:count]
    spread = (1 - known) * width
    last = np.full(count, 100.0)
    return Judged(
        1,
        np.datetime64("2025-09-01", "ms") + np.arange(count) * np.timedelta64(900_000, "ms"),
        last,
        last + centre,
        last[:, None] + centre[:, None] + np.broadcast_to(spread, count)[:, None] * _NORMAL,
        np.full(count, np.nan),
        last + moves,
    )


BASELINE = {BTC: _judged(), ETH: _judged(seed=2)}


def _challenger(known: float = 0.05, width: float = 1.0, wrong: float = 0.0) -> dict[Series, Judged]:
    return {BTC: _judged(known, width, wrong=wrong), ETH: _judged(known, width, seed=2, wrong=wrong)}


def test_challenger_that_beats_the_baseline_is_promoted() -> None:
    decision = decide(_challenger(), BASELINE)
    assert decision.promote
    assert decision.numbers["mae_ratio"] == pytest.approx(0.95)
    assert decision.numbers["pinball_ratio"] == pytest.approx(0.95)
    assert decision.numbers["mae_p_value"] < 0.001
    assert decision.numbers["count"] == COUNT
    assert decision.numbers["series"] == 2
    assert decision.numbers["skill_lower"] <= 0.05 <= decision.numbers["skill_upper"]
    assert "there is no champion" in decision.reason


def test_challenger_equal_to_the_baseline_is_refused() -> None:
    decision = decide(BASELINE, BASELINE)
    assert not decision.promote
    assert "MAE is 1.0000 of no change's" in decision.reason
    assert "pinball loss is 1.0000" in decision.reason


def test_improvement_that_chance_explains_is_refused() -> None:
    early = np.arange(COUNT) < 300
    noisy = {series: one.rows(early) for series, one in _challenger(known=0.01, wrong=0.1).items()}
    decision = decide(noisy, {series: one.rows(early) for series, one in BASELINE.items()})
    assert decision.numbers["mae_ratio"] < 1
    assert decision.numbers["mae_p_value"] > 0.05
    assert not decision.promote
    assert decision.reason.endswith("which chance explains (p = 0.237, allowed 0.05)")


def test_worse_pinball_is_refused_though_the_point_forecast_is_better() -> None:
    wide = _challenger(known=0.02, width=1.6)
    decision = decide(wide, BASELINE, policy=PromotionPolicy(coverage_tolerance=1))
    assert not decision.promote
    assert decision.reason.startswith("its pinball loss is")


@pytest.mark.parametrize(("width", "promoted"), [(0.85, False), (1.0, True), (1.2, False)])
def test_coverage_far_from_its_promise_is_refused(width: float, promoted: bool) -> None:
    decision = decide(_challenger(known=0.1, width=width), BASELINE)
    assert decision.promote is promoted
    assert ("80 % interval covered" in decision.reason) is not promoted


def test_too_few_cutoffs_are_too_early_and_the_same_cutoff_counts_once() -> None:
    few = {series: one.rows(np.arange(COUNT) < 99) for series, one in _challenger().items()}
    naive = {series: one.rows(np.arange(COUNT) < 99) for series, one in BASELINE.items()}
    decision = decide(few, naive)
    assert not decision.promote
    assert decision.reason == "too early: 99 cutoffs were scored, 100 are needed"
    assert decide({}, {}).reason.startswith("too early: 0 cutoffs")


def test_challenger_worse_than_the_champion_is_refused() -> None:
    decision = decide(_challenger(0.05), BASELINE, _challenger(0.1))
    assert not decision.promote
    assert "of the champion's" in decision.reason
    assert decision.numbers["champion_mae_ratio"] == pytest.approx(0.95 / 0.9)
    assert decision.numbers["champion_count"] == COUNT


@pytest.mark.parametrize("champions_share", [0.05, 0.02])
def test_challenger_no_worse_than_the_champion_is_promoted(champions_share: float) -> None:
    decision = decide(_challenger(0.05), BASELINE, _challenger(champions_share))
    assert decision.promote
    assert "not worse than the champion" in decision.reason


def test_challenger_whose_intervals_cover_worse_than_the_champions_is_refused() -> None:
    decision = decide(_challenger(0.1, width=0.94), BASELINE, _challenger(0.1))
    assert not decision.promote
    assert decision.reason.startswith("its 80 % interval covered 7")
    assert "further from its promise than the champion's" in decision.reason
    assert abs(decision.numbers["own_coverage_80"] - 0.8) > abs(decision.numbers["champion_coverage_80"] - 0.8)


def test_coverage_within_a_point_of_its_promise_is_never_worse() -> None:
    close = _challenger(0.1)
    assert decide(close, BASELINE, close).promote
    strict = PromotionPolicy(coverage_slack=0.0)
    exact = {series: replace(one, quantiles=_exact(one)) for series, one in close.items()}
    assert not decide(close, BASELINE, exact, strict).promote


def _exact(one: Judged) -> Floats:
    """Return quantiles around the close that cover exactly what they promise on these very rows."""
    error = one.realised - one.close
    return one.close[:, None] + np.quantile(error, LEVELS)


def test_one_lucky_stretch_is_not_enough() -> None:
    lucky = np.arange(COUNT) < COUNT // 5
    known = {series: _judged(np.where(lucky, 0.4, -0.01), seed=seed) for series, seed in ((BTC, 1), (ETH, 2))}
    decision = decide(known, BASELINE, policy=PromotionPolicy(coverage_tolerance=1))
    assert decision.numbers["pinball_ratio"] < 1
    assert decision.numbers["windows_won"] == 1
    assert not decision.promote
    assert decision.reason == "its pinball loss was below the baseline's in 1 of 5 consecutive windows, 3 are needed"


def test_failed_leak_check_refuses_the_best_challenger() -> None:
    checks = [LeakCheck("random_walk", True, "AUC 0.500"), LeakCheck("shuffled_labels", False, "AUC 0.930")]
    decision = decide(_challenger(0.3), BASELINE, leak_checks=checks)
    assert not decision.promote
    assert "it failed the leak check shuffled_labels: AUC 0.930" in decision.reason
    assert decision.numbers["leak_shuffled_labels"] == 1
    assert decision.numbers["leak_random_walk"] == 0
    assert decide(_challenger(), BASELINE, leak_checks=checks[:1]).promote


def test_champion_is_compared_only_where_both_were_judged() -> None:
    late = {BTC: _challenger(0.1)[BTC].rows(np.arange(COUNT) >= 500)}
    decision = decide(_challenger(0.05), BASELINE, late)
    assert not decision.promote
    assert decision.numbers["champion_count"] == 300


def test_champion_without_enough_unseen_cutoffs_does_not_stand_in_the_way() -> None:
    young = {series: one.rows(np.arange(COUNT) >= COUNT - 20) for series, one in _challenger(0.5).items()}
    decision = decide(_challenger(0.05), BASELINE, young)
    assert decision.promote
    assert "too few cutoffs it did not learn from (20)" in decision.reason


def test_policy_says_how_many_unseen_cutoffs_a_champion_needs() -> None:
    late = {series: one.rows(np.arange(COUNT) >= 500) for series, one in _challenger(0.1).items()}
    assert not decide(_challenger(0.05), BASELINE, late, PromotionPolicy(minimum_scored=300)).promote
    assert decide(_challenger(0.05), BASELINE, late, PromotionPolicy(minimum_scored=301)).promote


def test_series_count_alike_whatever_their_volatility() -> None:
    def louder(one: Judged) -> Judged:
        last = one.last_close[:, None]
        return Judged(
            1,
            one.cutoff,
            one.last_close,
            one.last_close + 20 * (one.close - one.last_close),
            last + 20 * (one.quantiles - last),
            one.p_up,
            one.last_close + 20 * (one.realised - one.last_close),
        )

    challenger, baseline = _challenger(0.05), dict(BASELINE)
    challenger[ETH] = louder(_judged(0.0, seed=2))
    baseline[ETH] = louder(BASELINE[ETH])
    assert decide(challenger, baseline).numbers["mae_ratio"] == pytest.approx(0.975)
