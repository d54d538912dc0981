"""The panel of directions: curve, counts, and what is said where no chance was told."""

from __future__ import annotations

from tests.ui.test_scoring import a_record, row
from ui.direction import confusion_table, direction_panel
from ui.format import NOTHING
from ui.markup import plain
from ui.scoring import Confusion, scorecard


def test_curve_is_named_with_its_area_and_the_right_directions_are_marked() -> None:
    card = scorecard(a_record(300))
    assert card.total is not None
    drawn = direction_panel(card, "en")
    assert f"the area below it is {card.total.auc:.3f}" in drawn
    assert drawn.count('class="right"') == 2


def test_counts_come_with_their_share_of_the_row() -> None:
    drawn = plain(confusion_table(Confusion(30, 10, 0, 0), "pt")).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "30 75 %" in drawn
    assert "10 25 %" in drawn
    assert f"0 {NOTHING}" in drawn  # nothing was said to fall, so there is no share of it


def test_record_without_chances_has_a_sentence() -> None:
    assert "The baseline says none" in direction_panel(scorecard([row(0, 100, 102, None, "baseline")]), "en")
    assert "The baseline says none" in direction_panel(None, "en")
