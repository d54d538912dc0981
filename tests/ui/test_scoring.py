"""Scores of ledger rows, against numbers worked out by hand and an obvious re-implementation."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from candlecast.api import Bounds, LedgerRow
from tests.ui.making import CUTOFF, STEP, ledger_row
from ui.scoring import Confusion, bins, confusion, roc, scorecard, scores


def row(at: int, said: float, came: float | None, p_up: float | None = 0.5, role: str = "champion") -> LedgerRow:
    """Return the row at the `at`-th cutoff; the close before was 100, the intervals reach 1 and 2 around `said`."""
    given = {
        "80": Bounds(lower=said - 1, upper=said + 1),
        "95": Bounds(lower=said - 2, upper=said + 2),
    }
    return ledger_row(CUTOFF + at * STEP, role, came).model_copy(
        update={"last_close": 100.0, "close": said, "p_up": p_up, "intervals": given}
    )


def a_record(count: int, seed: int = 1) -> list[LedgerRow]:
    """Return forecasts that know half of each move, and chances that are calibrated."""
    source = np.random.default_rng(seed)
    rows = []
    for at in range(count):
        chance = source.uniform(0.2, 0.8)
        move = abs(source.normal()) * (1 if source.random() < chance else -1)
        rows.append(row(at, 100 + move / 2, 100 + move, chance))
    return rows


def test_scores_of_three_rows_are_those_worked_out_by_hand() -> None:
    found = scores([row(0, 101, 102, 0.7), row(1, 99, 100.5, 0.4), row(2, 100, 97, 0.6)])
    assert found is not None
    assert found.mae == pytest.approx((1 + 1.5 + 3) / 3)
    assert found.naive_mae == pytest.approx((2 + 0.5 + 3) / 3)
    assert found.covered[80].value == pytest.approx(1 / 3)
    assert found.covered[95].value == pytest.approx(2 / 3)
    assert found.direction is not None
    assert found.direction.value == pytest.approx(1 / 3)
    assert found.brier == pytest.approx((0.3**2 + 0.6**2 + 0.6**2) / 3)
    assert found.auc == pytest.approx(0.5)
    assert found.skill.verdict == "too_early"


def test_forecaster_that_knows_half_of_each_move_has_half_skill() -> None:
    card = scorecard(a_record(400))
    assert card.total is not None
    assert card.total.skill.skill == pytest.approx(0.5)
    assert card.total.skill.verdict == "better"


def test_row_whose_candle_has_not_closed_is_written_but_not_scored() -> None:
    card = scorecard([row(0, 101, 102), row(1, 101, None)])
    assert card.written == 2
    assert card.total is not None
    assert card.total.skill.scored == 1


def test_baselines_rows_count_only_where_no_champion_answered() -> None:
    rows = [row(0, 100, 102, None, "baseline"), row(1, 101, 102)]
    assert not scorecard(rows).baseline
    assert scorecard(rows).written == 1
    alone = scorecard(rows[:1])
    assert alone.baseline
    assert alone.total is not None
    assert alone.total.auc is None
    assert alone.bins == ()


def test_cutoffs_without_a_row_are_counted_as_missing() -> None:
    assert scorecard([row(at, 101, 102) for at in (0, 1, 2, 6, 7)]).missing == 3
    assert scorecard([row(0, 101, 102)]).missing == 0


def test_empty_ledger_is_a_card_without_scores() -> None:
    card = scorecard([])
    assert card.total is None
    assert card.first is None


def test_bins_hold_equal_counts_and_rise_with_the_chance_that_was_said() -> None:
    rows = a_record(1000)
    found = bins(rows)
    assert len(found) == 10
    said = [one.said for one in found]
    assert said == sorted(said)
    ordered = sorted(rows, key=lambda one: one.p_up or 0)
    lowest = [one.realised_close or 0 for one in ordered[:100]]
    assert found[0].rose.value == pytest.approx(sum(close > 100 for close in lowest) / 100)
    assert found[-1].rose.value > 0.6 > 0.4 > found[0].rose.value


def test_few_rows_make_few_bins() -> None:
    assert len(bins(a_record(45))) == 2
    assert bins(a_record(15)) == ()


def test_months_and_days_part_the_record_by_when_the_close_became_known() -> None:
    rows = [row(at, 101, 102) for at in range(0, 40 * 96, 48)]
    card = scorecard(rows)
    assert [month.month for month, _ in card.months] == [10, 11]
    assert sum(one.skill.scored for _, one in card.months) == len(rows)
    assert len(card.days) == (rows[-1].target_time.date() - rows[0].target_time.date()) // timedelta(days=1) + 1
    assert card.days[0].ours == pytest.approx(0.01)
    assert card.days[0].naive == pytest.approx(0.02)


def test_area_below_the_curve_of_hits_is_the_auc() -> None:
    rows = a_record(90) + [row(at, 101, 102, 0.5) for at in range(90, 100)]
    curve, found = roc(rows), scores(rows)
    assert found is not None
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    area = sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in pairwise(curve))
    assert area == pytest.approx(found.auc)
    assert len(roc(a_record(3000))) == 121


def test_rows_of_one_direction_have_no_curve() -> None:
    assert roc([row(at, 101, 102, 0.4) for at in range(5)]) == ()
    assert roc([]) == ()


def test_directions_are_counted_by_what_was_likelier_and_what_came() -> None:
    rows = [row(0, 101, 102, 0.7), row(1, 101, 99, 0.6), row(2, 101, 98, 0.4), row(3, 101, 97, 0.3), row(4, 101, 100)]
    assert confusion(rows) == Confusion(rise_rose=1, rise_fell=1, fall_rose=0, fall_fell=2)
    assert confusion([row(0, 101, 102, None)]) is None
