import math
from dataclasses import replace

import numpy as np
import pytest
import scoringrules
from scipy import stats  # type: ignore[import-untyped]  # ships no types

from candlecast.evaluation import Judged
from candlecast.forecast import LEVELS
from candlecast.scores import (
    METRICS,
    Directions,
    all_scores,
    crps,
    expected_calibration_error,
    pinball_loss,
    statistics,
)
from tests import slow_scores

ROWS = 403


@pytest.fixture
def judged() -> Judged:
    """Return forecasts of which some miss on either side, some quantiles coincide, some closes do not move."""
    random = np.random.default_rng(3)
    last = random.uniform(50, 150, ROWS)
    real = last * np.exp(random.normal(0, 0.002, ROWS))
    real[::40] = last[::40]
    quantiles = np.sort(last[:, None] * (1 + random.normal(0, 0.003, (ROWS, len(LEVELS)))), axis=1)
    quantiles[::17, 3] = quantiles[::17, 4]
    quantiles[5] = real[5]
    return Judged(
        1,
        np.datetime64("2025-09-01", "ms") + np.arange(ROWS) * np.timedelta64(900_000, "ms"),
        last,
        last * np.exp(random.normal(0, 0.001, ROWS)),
        quantiles,
        random.uniform(0.3, 0.7, ROWS).round(2),
        real,
    )


def test_every_score_is_that_of_a_slow_reimplementation(judged: Judged) -> None:
    close, last, real = judged.close.tolist(), judged.last_close.tolist(), judged.realised.tolist()
    quantiles = judged.quantiles.tolist()
    expected: dict[str, float] = slow_scores.point(close, last, real, unit=0.3)
    expected["pinball"] = slow_scores.pinball(quantiles, real)
    expected["pinball_skill"] = 1 - expected["pinball"] / 0.25
    expected["crps"] = slow_scores.mean([slow_scores.crps(row, r) for row, r in zip(quantiles, real, strict=True)])
    for percent in (80, 95):
        for name, value in zip(
            ("coverage", "width", "winkler"), slow_scores.interval(quantiles, real, percent), strict=True
        ):
            expected[f"{name}_{percent}"] = value
    expected |= slow_scores.direction(judged.p_up.tolist(), last, real)

    found = all_scores(judged, unit=0.3, reference_pinball=0.25)
    assert set(expected) == set(METRICS) - {"confusion"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert found["count"] == ROWS


def test_confusion_counts_each_called_direction_once(judged: Judged) -> None:
    found = all_scores(judged, unit=1, reference_pinball=1)["confusion"]
    moved = judged.realised != judged.last_close
    called, came = judged.p_up[moved] > 0.5, (judged.realised > judged.last_close)[moved]
    assert found == {
        "true_up": int((called & came).sum()),
        "false_up": int((called & ~came).sum()),
        "true_down": int((~called & ~came).sum()),
        "false_down": int((~called & came).sum()),
    }
    assert sum(found.values()) == ROWS - math.ceil(ROWS / 40)


def test_what_a_forecaster_does_not_say_has_no_score(judged: Judged) -> None:
    def given(said: set[str]) -> set[str]:
        return {
            name
            for name, value in all_scores(judged.only(said), unit=1, reference_pinball=1).items()
            if value is not None
        }

    point = {"mae", "mae_ratio", "rmse", "mape", "smape", "mase", "r2"}
    by_side = {"accuracy", "weighted_accuracy", "confusion"}
    chance = {"auc", "brier", "log_loss", "base_log_loss", "ece", "accuracy_top_tenth"}
    spread = {"pinball", "pinball_skill", "crps"} | {
        f"{a}_{b}" for a in ("coverage", "width", "winkler") for b in (80, 95)
    }
    assert given({"close"}) == {"count"} | point | by_side
    assert given({"p_up"}) == {"count"} | by_side | chance
    assert given({"quantiles"}) == {"count"} | spread
    assert given(set()) == {"count"}


def test_no_change_calls_no_direction(judged: Judged) -> None:
    still = replace(judged, close=judged.last_close, p_up=np.full(ROWS, np.nan))
    found = all_scores(still, unit=1, reference_pinball=1)
    assert found["mae_ratio"] == 1
    assert found["accuracy"] is None


def test_nothing_judged_has_no_scores(judged: Judged) -> None:
    found = all_scores(judged.rows(np.zeros(ROWS, dtype=bool)), unit=1, reference_pinball=1)
    assert found == {"count": 0, **dict.fromkeys(METRICS)}


def test_market_that_does_not_move_leaves_ratios_open(judged: Judged) -> None:
    frozen = replace(judged, realised=judged.last_close)
    found = all_scores(frozen, unit=0, reference_pinball=0)
    assert {name for name in ("mae_ratio", "mase", "r2", "pinball_skill", "auc") if found[name] is not None} == set()


def test_auc_needs_both_directions(judged: Judged) -> None:
    rising = judged.rows(judged.realised > judged.last_close)
    assert all_scores(rising, unit=1, reference_pinball=1)["auc"] is None
    assert all_scores(rising, unit=1, reference_pinball=1)["brier"] is not None


def _normal(real: float, shift: float = 0.0) -> Judged:
    quantiles = shift + stats.norm.ppf(np.array(LEVELS))[None]
    one = np.ones(1)
    return Judged(1, np.zeros(1, "datetime64[ms]"), one, one, quantiles, one, np.array([real]))


@pytest.mark.parametrize("real", [0.0, 0.5, 1.5])
def test_crps_of_normal_quantiles_is_close_to_the_published_closed_form(real: float) -> None:
    # Gneiting and Raftery (2007), equation 21: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi); 0.2337 at y = 0.
    published = real * (2 * stats.norm.cdf(real) - 1) + 2 * stats.norm.pdf(real) - 1 / math.sqrt(math.pi)
    assert scoringrules.crps_normal(real, 0.0, 1.0) == pytest.approx(published)
    assert float(crps(_normal(real))[0]) == pytest.approx(published, abs=0.012)


def test_crps_of_one_point_is_its_distance(judged: Judged) -> None:
    certain = replace(judged, quantiles=np.repeat(judged.close[:, None], len(LEVELS), axis=1))
    assert crps(certain) == pytest.approx(np.abs(judged.close - judged.realised))


def test_pinball_and_winkler_are_those_of_another_library(judged: Judged) -> None:
    loss = np.stack(
        [scoringrules.quantile_score(judged.realised, q, a) for q, a in zip(judged.quantiles.T, LEVELS, strict=True)]
    )
    assert pinball_loss(judged) == pytest.approx(loss.mean(axis=0))
    winkler = scoringrules.interval_score(judged.realised, judged.quantiles[:, 2], judged.quantiles[:, 10], 0.2)
    assert all_scores(judged, unit=1, reference_pinball=1)["winkler_80"] == pytest.approx(winkler.mean())


def test_calibration_error_sees_overconfidence_and_not_the_honest() -> None:
    random = np.random.default_rng(1)
    chance = random.uniform(0.4, 0.6, 20_000)
    up = random.uniform(size=20_000) < chance
    assert expected_calibration_error(chance, up) < 0.015
    assert expected_calibration_error(0.5 + 3 * (chance - 0.5), up) == pytest.approx(0.1, abs=0.015)


def test_statistics_with_every_row_drawn_once_are_the_scores(judged: Judged) -> None:
    reference = np.full(ROWS, 0.25)
    found = all_scores(judged, unit=1, reference_pinball=0.25)
    once = {name: statistic(np.ones(ROWS)) for name, statistic in statistics(judged, reference).items()}
    assert set(once) == {
        *(
            "mae_ratio",
            "pinball_skill",
            "coverage_80",
            "coverage_95",
            "accuracy",
            "accuracy_top_tenth",
            "auc",
            "log_loss",
        )
    }
    for name, value in once.items():
        assert value == pytest.approx(found[name], rel=1e-9), name


def test_statistics_with_weights_are_the_scores_of_repeated_rows(judged: Judged) -> None:
    weights = np.random.default_rng(2).integers(0, 4, ROWS)
    drawn = np.repeat(np.arange(ROWS), weights)
    repeated = Judged(
        1,
        *(getattr(judged, name)[drawn] for name in ("cutoff", "last_close", "close", "quantiles", "p_up", "realised")),
    )
    found = all_scores(repeated, unit=1, reference_pinball=0.25)
    for name, statistic in statistics(judged, np.full(ROWS, 0.25)).items():
        assert statistic(weights.astype(float)) == pytest.approx(found[name], rel=1e-9), name


def test_forecaster_of_direction_alone_has_only_its_statistics(judged: Judged) -> None:
    assert set(statistics(judged.only({"p_up"}), np.ones(ROWS))) == {
        "accuracy",
        "accuracy_top_tenth",
        "auc",
        "log_loss",
    }
    told = Directions.of(judged.only({"close"}))
    assert told is not None
    assert np.array_equal(told.call, (judged.close > judged.last_close)[told.rows])
