"""What the Track record says for each state of the ledger, in both languages."""

from __future__ import annotations

import re

import pytest

from tests.ui.making import SERIES, snapshot, status
from tests.ui.test_scoring import a_record, row
from ui import plots, scorecard
from ui.format import Language
from ui.markup import plain
from ui.scoring import Estimate
from ui.scoring import scorecard as made


def test_verdict_names_window_count_and_interval() -> None:
    said = plain(scorecard.verdict(made(a_record(400)), snapshot(), "en"))
    assert "better than “no change”" in said
    assert "over 400 forecasts since 14 Oct 2025" in said
    assert "400 forecasts were due, 400 were written down in time, 0 are missing" in said


def test_missing_forecasts_are_said_beside_the_verdict() -> None:
    card = made([row(at, 101, 102) for at in (0, 1, 2, 6)])
    assert "7 forecasts were due, 4 were written down in time, 3 are missing" in plain(
        scorecard.verdict(card, snapshot(), "en")
    )


@pytest.mark.parametrize(
    ("language", "said"), [("en", "For now, the answer is “no change”"), ("pt", "Por enquanto, a resposta é")]
)
def test_record_of_the_baseline_claims_no_skill(language: Language, said: str) -> None:
    card = made([row(at, 100, 102, None, "baseline") for at in range(200)])
    assert said in plain(scorecard.verdict(card, snapshot(), language))
    assert "svg" not in scorecard.daily(card, language)
    assert "whisker" not in scorecard.months(card, language)


def test_empty_ledger_leaves_dashes_in_a_layout_that_stays() -> None:
    numbers = scorecard.numbers(made([]), snapshot(), "en")
    assert numbers.count('class="cell nothing"') == 7
    assert "Nothing scored yet" in scorecard.verdict(made([]), snapshot(), "en")


def test_numbers_follow_the_language() -> None:
    card = made(a_record(300))
    assert re.search(r"\d\.\d", plain(scorecard.numbers(card, snapshot(), "en")))
    assert not re.search(r"\d\.\d\b", plain(scorecard.numbers(card, snapshot(), "pt")).replace("50.0", ""))


def test_broken_chain_is_named_with_its_row() -> None:
    broken = snapshot(status=status(ledger_intact=False, ledger_broken_at="binance:X#7"))
    said = scorecard.ledger(made([]), broken, "en")
    assert "Ledger check failed at row binance:X#7" in said
    assert "chain bad" in said


def test_file_links_carry_series_and_horizon_escaped() -> None:
    assert 'href="files/ledger.csv?series=binance%3ABTC-USDT%3A15m&amp;horizon=5"' in scorecard.files(SERIES, 5, "en")


def test_promise_is_drawn_around_zero_with_room_for_the_widest_bar() -> None:
    drawn = plots.promise({80: Estimate(0.75, 0.099), 95: Estimate(0.95, 0.01)}, "en")
    heights = [float(y) for y in re.findall(r'y[12]="([\d.]+)"', drawn)]
    assert min(heights) >= 0
    assert max(heights) <= 200
    assert plain(drawn).count("10") == 2  # the rules at plus and minus ten points
