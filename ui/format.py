"""How numbers, dates and ages are written, in English and Brazilian Portuguese. No rounding hides a sign."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Literal

Language = Literal["en", "pt"]

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
EN_DASH = "\N{EN DASH}"
NOTHING = EN_DASH

_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "pt": ("jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"),
}
_WHOLE_ABOVE = 10_000
_MOST_SKILL_DECIMALS = 3


def number(value: float, decimals: int, language: Language, *, signed: bool = False) -> str:
    """Write a number with grouping; `signed` puts a plus before what is above zero."""
    text = f"{abs(value):,.{decimals}f}"
    if language == "pt":
        text = text.translate(str.maketrans(",.", ".,"))
    if not any(digit in text for digit in "123456789"):
        return text  # zero has no sign, however it was reached
    return (MINUS if value < 0 else "+" if signed else "") + text


def price_decimals(value: float) -> int:
    """Return how many decimals a price of this size is written with, where the venue's tick is not known."""
    if value >= 1000 or value <= 0:
        return 2
    return min(8, max(2, 5 - math.floor(math.log10(value))))


def shared_decimals(prices: list[float]) -> int:
    """Return the fewest decimals, at least 2, that write all of `prices` exactly: the tick as far as it shows."""
    for decimals in range(2, 8):
        if all(math.isclose(round(price, decimals), price, rel_tol=1e-12, abs_tol=1e-12) for price in prices):
            return decimals
    return 8


def price(value: float | None, language: Language, decimals: int | None = None) -> str:
    """Write a price, an en dash where there is none."""
    if value is None:
        return NOTHING
    return number(value, price_decimals(value) if decimals is None else decimals, language)


def delta(value: float, base: float, language: Language, decimals: int | None = None) -> str:
    """Write a difference with its share of `base` in brackets."""
    places = price_decimals(base) if decimals is None else decimals
    return f"{number(value, places, language, signed=True)} ({percent(value / base, language)})"


def percent(share: float, language: Language, decimals: int | None = None) -> str:
    """Write a signed share as per cent: 3 decimals below 0.1 %, else 2."""
    places = (3 if abs(share) < 0.001 else 2) if decimals is None else decimals
    return f"{number(100 * share, places, language, signed=True)}{THIN}%"


def skill(value: float, language: Language, *, signed: bool = True, decimals: int | None = None) -> str:
    """Write a skill as per cent: 2 decimals below 1 %, else 1."""
    places = skill_decimals(value) if decimals is None else decimals
    return f"{number(100 * value, places, language, signed=signed)}{THIN}%"


def skill_decimals(*values: float) -> int:
    """Return the decimals that skills which stand together are written with: none of them becomes zero by rounding."""
    places = 2 if max(abs(value) for value in values) < 0.01 else 1
    while places < _MOST_SKILL_DECIMALS and any(value and not round(100 * value, places) for value in values):
        places += 1
    return places


def chance(value: float | None, language: Language) -> str:
    """Write a probability as per cent."""
    return NOTHING if value is None else f"{number(100 * value, 1, language)}{THIN}%"


def bounds(lower: float, upper: float, language: Language, decimals: int | None = None) -> str:
    """Write an interval of prices, rounded outwards; whole units above 10,000."""
    places = price_decimals(upper) if decimals is None else decimals
    if min(abs(lower), abs(upper)) >= _WHOLE_ABOVE:
        places = 0
    low, high = (outwards(value, places, up=up) for value, up in ((lower, False), (upper, True)))
    return f"{number(low, places, language)}{THIN}{EN_DASH}{THIN}{number(high, places, language)}"


def outwards(value: float, decimals: int, *, up: bool) -> float:
    """Round up or down to `decimals`; what already has no more decimals stays."""
    scaled = value * 10**decimals
    if math.isclose(scaled, round(scaled), rel_tol=1e-12):
        return float(round(value, decimals))
    return float((math.ceil if up else math.floor)(scaled) / 10**decimals)


def when(moment: datetime, now: datetime, language: Language) -> str:
    """Write a moment in the zone of `now`: the time alone for today, else date and time; the zone always."""
    there = moment.astimezone(now.tzinfo)
    if there.date() == now.date():
        return f"{there:%H:%M}{THIN}{zone(there)}"
    return moment_text(there, language)


def moment_text(moment: datetime, language: Language) -> str:
    """Write date and time in the moment's own zone: 14 Oct 2025 16:15 UTC, 14/10/2025 16:15 UTC."""
    return f"{date_text(moment, language)} {moment:%H:%M}{THIN}{zone(moment)}"


def date_text(moment: date, language: Language) -> str:
    """Write a day: 14 Oct 2025, 14/10/2025."""
    return f"{moment:%d/%m/%Y}" if language == "pt" else f"{moment.day} {_MONTHS['en'][moment.month - 1]} {moment.year}"


def zone(moment: datetime) -> str:
    """Write the zone of a moment as its distance from UTC: UTC, UTC-3, UTC+5:30."""
    minutes = round((moment.utcoffset() or timedelta(0)) / timedelta(minutes=1))
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{MINUS if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")


def axis_date(moment: date, language: Language) -> str:
    """Write the day for an axis: 14 Oct, 14 out."""
    return f"{moment.day} {_MONTHS[language][moment.month - 1]}"


def month_text(moment: date, language: Language) -> str:
    """Write a month: Oct 2025, out 2025."""
    return f"{_MONTHS[language][moment.month - 1]} {moment.year}"


def span(seconds: float) -> str:
    """Write a length of time in its two largest units: 4 min 12 s, 2 h 05 min, 3 d 4 h."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}{THIN}d {hours_left}{THIN}h"
    if hours:
        return f"{hours}{THIN}h {minutes_left:02d}{THIN}min"
    if minutes:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    return f"{rest}{THIN}s"


def elapsed(moment: datetime, now: datetime) -> float:
    """Return the seconds from `moment` to `now`."""
    return (now - moment) / timedelta(seconds=1)
