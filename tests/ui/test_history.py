"""Versions one after another: oldest on the left, champions filled, zero in the middle."""

from __future__ import annotations

import re
from datetime import timedelta

from tests.ui.making import NOW, challenger, snapshot
from tests.ui.test_registry import NUMBERS, version
from ui.history import history


def test_versions_stand_in_the_order_they_were_trained_in_and_champions_are_filled() -> None:
    models = (
        version("new", created_at=NOW),
        version("old", created_at=NOW - timedelta(days=2), promoted_at=NOW, champion=True),
    )
    drawn = history(models, snapshot(), "en")
    assert drawn.index("old, 12 Oct 2025") < drawn.index("new, 16:04")
    first, second = re.findall(r"<circle [^>]+>", drawn)
    assert 'r="6" fill="var(--cc-said)"' in first
    assert 'r="4.5" fill="var(--cc-surface)"' in second
    assert "The skill of 2 versions" in drawn


def test_axis_reaches_the_widest_interval_on_both_sides_of_no_change() -> None:
    drawn = history((version("one"),), snapshot(), "pt")
    assert NUMBERS["skill_upper"] == 0.008
    for end in ("+0,80", "\N{MINUS SIGN}0,80"):
        assert f">{end}\N{NARROW NO-BREAK SPACE}%</text>" in drawn


def test_versions_that_were_never_judged_leave_a_sentence() -> None:
    assert "No model has been trained" in history((challenger(None),), snapshot(), "en")
    assert "No model has been trained" in history((version("one"),), None, "en")
