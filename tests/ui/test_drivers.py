"""What drove a forecast: pushes that add up, the largest first, and never about another candle."""

from __future__ import annotations

import math

import pytest

from candlecast.api import Contribution, Explanation
from tests.ui.making import CUTOFF, MODEL, SERIES, STEP, abstained, baseline, forecast, snapshot
from ui.drivers import drivers, drivers_panel


def explanation(*logits: float, start: float = 0.1, **changes: object) -> Explanation:
    """Return an explanation by momentum over 1, 2, 3 ... candles."""
    known: dict[str, object] = {
        "series": SERIES,
        "horizon": 1,
        "status": "ok",
        "cutoff": CUTOFF,
        "model_version": MODEL,
        "start": start,
        "contributions": [
            Contribution(feature=f"momentum_{n}", words=f"the move over the last {n} candles", value=1.0, logit=logit)
            for n, logit in enumerate(logits, 1)
        ],
        "reproduced": True,
    }
    return Explanation.model_validate(known | changes)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_points_add_up_to_the_way_from_one_chance_to_the_other() -> None:
    known = drivers(explanation(-0.5, 0.3, -0.2, 0.1, 0.05, -0.02, 0.01))
    assert known is not None
    assert known.start == pytest.approx(sigmoid(0.1))
    assert known.end == pytest.approx(sigmoid(0.1 - 0.26))
    assert sum(push.points for push in known.named) + known.rest == pytest.approx(known.sum)
    assert (len(known.named), known.others) == (5, 2)
    assert known.named[0].points < 0 < known.named[1].points


def test_pushes_that_cancel_each_other_are_still_told() -> None:
    known = drivers(explanation(0.4, -0.4, start=0.0))
    assert known is not None
    assert [push.points for push in known.named] == pytest.approx([10.0, -10.0])
    assert known.sum == pytest.approx(0.0)


def test_panel_names_the_pushes_in_the_reader_s_language_with_their_sum() -> None:
    drawn = drivers_panel(snapshot(), explanation(-0.4, 0.2, 0, 0, 0, 0.1), "pt")
    assert "O movimento dos últimos 1 candles" in drawn
    assert "Todo o resto, 1 entradas" in drawn
    assert "Soma, de 52,5\N{NARROW NO-BREAK SPACE}% a 50,0\N{NARROW NO-BREAK SPACE}%" in drawn
    # A fall is filled and left of zero, a rise hollow and right of it.
    assert 'x="4.0%" y="5" width="46.0%" height="10" fill="var(--cc-down)"' in drawn
    assert 'x="50.0%" y="5" width="23.0%" height="10" fill="var(--cc-surface)"' in drawn


def test_explanation_of_another_candle_is_not_shown() -> None:
    assert "no reasons" in drivers_panel(snapshot(), explanation(0.1, cutoff=CUTOFF - STEP), "en")
    assert "no reasons" in drivers_panel(snapshot(), None, "en")


def test_later_candles_that_change_it_are_mentioned() -> None:
    assert "changed this a little" in drivers_panel(snapshot(), explanation(0.1, reproduced=False), "en")
    assert "changed this a little" not in drivers_panel(snapshot(), explanation(0.1), "en")


def test_where_no_model_speaks_nothing_drove_it() -> None:
    assert "expects no change" in drivers_panel(snapshot(baseline()), explanation(0.1), "en")
    assert drivers_panel(snapshot(abstained("stale")), explanation(0.1), "en") == ""
    assert drivers_panel(None, None, "en") == ""
    assert "<table" in drivers_panel(snapshot(forecast()), explanation(0.1), "en")
