"""The table of yardsticks: in order of skill, off-scale ones as arrows, and said not to be the live record."""

from __future__ import annotations

from datetime import timedelta

from candlecast.api import Score
from tests.ui.making import NOW, SERIES
from ui.yardsticks import yardsticks


def score(forecaster: str, metric: str, value: float) -> Score:
    window = {"start": NOW - timedelta(days=7), "end": NOW}
    return Score(series=SERIES, horizon=1, forecaster=forecaster, metric=metric, value=value, count=661, **window)


def test_yardsticks_are_in_order_of_skill_and_said_not_to_be_live() -> None:
    scores = (score("naive", "coverage_80", 0.79), score("<b>", "skill", -0.2), score("challenger", "skill", 0.001))
    said = yardsticks(scores, "en")
    assert said.index("candlecast, newest") < said.index(">no change") < said.index("&lt;b&gt;")
    assert "Not the live record" in said


def test_forecaster_far_below_no_change_is_an_arrow_that_leaves_the_near_ones_apart() -> None:
    said = yardsticks((score("forest", "skill", -14.1), score("challenger", "skill", 0.001)), "en")
    near, far = said.split("<tr>")[2:]
    assert 'cx="97.0%"' in near
    assert "<path" not in near
    assert "<path" in far
    assert "1,410.0" in far
