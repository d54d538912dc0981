"""Numbers, dates and ages as the table of the screen's reference has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ui import format as fmt
from ui.format import MINUS, THIN, Language

NOW = datetime(2025, 10, 14, 16, 4, tzinfo=UTC)


@pytest.mark.parametrize(("language", "text"), [("en", "112,900.43"), ("pt", "112.900,43")])
def test_price_is_grouped_in_the_language_of_the_reader(language: Language, text: str) -> None:
    assert fmt.price(112_900.43, language, 2) == text


def test_missing_price_is_an_en_dash() -> None:
    assert fmt.price(None, "en") == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", f"{MINUS}8.23 ({MINUS}0.007{THIN}%)"), ("pt", f"{MINUS}8,23 ({MINUS}0,007{THIN}%)")],
)
def test_small_delta_has_three_decimals_of_a_per_cent(language: Language, text: str) -> None:
    assert fmt.delta(-8.23, 112_900.43, language, 2) == text


def test_larger_delta_has_two_decimals_and_a_plus() -> None:
    assert fmt.delta(1129.0, 112_900.0, "en", 2) == f"+1,129.00 (+1.00{THIN}%)"


def test_rounded_zero_has_no_sign() -> None:
    assert fmt.number(-0.001, 2, "en", signed=True) == "0.00"
    assert fmt.number(0.0, 2, "pt", signed=True) == "0,00"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0007, "+0.07"), (-0.0002, f"{MINUS}0.02"), (0.014, "+1.4"), (0.01, "+1.0"), (-1.5, f"{MINUS}150.0")],
)
def test_skill_has_two_decimals_below_one_per_cent_else_one(value: float, text: str) -> None:
    assert fmt.skill(value, "en") == f"{text}{THIN}%"


def test_skills_that_stand_together_share_their_decimals() -> None:
    assert fmt.skill_decimals(0.0007, 0.0019) == 2
    assert fmt.skill_decimals(0.0007, -0.02) == 1


def test_bounds_are_rounded_outwards_and_whole_above_ten_thousand() -> None:
    assert fmt.bounds(112_426.9, 113_376.1, "en", 2) == f"112,426{THIN}\N{EN DASH}{THIN}113,377"
    assert fmt.bounds(200.999, 203.441, "en", 2) == f"200.99{THIN}\N{EN DASH}{THIN}203.45"


def test_bound_that_needs_no_rounding_stays() -> None:
    # 0.29 * 100 is 28.999999999999996
    assert fmt.outwards(0.29, 2, up=False) == 0.29
    assert fmt.outwards(113_377.0, 0, up=True) == 113_377


@pytest.mark.parametrize(("share", "text"), [(0.4, "40.0"), (0.5049, "50.5")])
def test_chance_has_one_decimal(share: float, text: str) -> None:
    assert fmt.chance(share, "en") == f"{text}{THIN}%"


def test_decimals_are_those_that_the_prices_show() -> None:
    assert fmt.shared_decimals([112_900.43, 112_900.0]) == 2
    assert fmt.shared_decimals([202.0, 203.0]) == 2
    assert fmt.shared_decimals([0.3141, 0.31]) == 4
    assert fmt.shared_decimals([0.00001234]) == 8


def test_price_without_a_tick_keeps_five_figures() -> None:
    assert fmt.price(0.012345, "en") == "0.0123450"
    assert fmt.price(1234.5, "en") == "1,234.50"


@pytest.mark.parametrize(
    ("moment", "language", "text"),
    [
        (NOW, "en", f"16:04{THIN}UTC"),
        (NOW - timedelta(days=1), "en", f"13 Oct 2025 16:04{THIN}UTC"),
        (NOW - timedelta(days=1), "pt", f"13/10/2025 16:04{THIN}UTC"),
    ],
)
def test_time_stands_alone_only_today(moment: datetime, language: Language, text: str) -> None:
    assert fmt.when(moment, NOW, language) == text


def test_axis_names_months_in_the_language_of_the_reader() -> None:
    assert fmt.axis_date(NOW, "en") == "14 Oct"
    assert fmt.axis_date(NOW, "pt") == "14 out"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0|s"),
        (59, "59|s"),
        (252, "4|min 12|s"),
        (3 * 3600 + 300, "3|h 05|min"),
        (90_000, "1|d 1|h"),
        (-5, "0|s"),
    ],
)
def test_length_of_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert fmt.span(seconds) == text.replace("|", THIN)


def test_no_skill_is_rounded_to_zero_beside_one_that_is_not() -> None:
    assert fmt.skill_decimals(0.0092, 0.0002, 0.018) == 2
    assert fmt.skill_decimals(0.008, 0.00002, 0.009) == 3
    assert fmt.skill_decimals(0.5, 0.0, 0.7) == 1
    assert fmt.skill_decimals(0.5, 0.0000001, 0.7) == 3  # what is smaller than that may
