"""What else is known at the moment of a series' candles: the other symbols, and the candles inside its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from candlecast.candles import Candles, Interval, Series

KnownCandles = Mapping[Series, Candles]
"""Candles of any series. A forecaster takes those that belong to the one it forecasts, and of them nothing that closed
after the cutoff."""

NOTHING: KnownCandles = MappingProxyType({})

PART_INTERVALS: Mapping[Interval, Interval] = {Interval.M15: Interval.M5, Interval.H1: Interval.M15}
"""The shorter interval whose candles are looked at inside those of an interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One symbol as seen by a model: its candles, and those of the shorter interval where they are known."""

    candles: Candles
    parts: Candles | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """What stands beside a series: the parts of its own candles, and the other symbols in order of their names."""

    parts: Candles | None = None
    others: tuple[Sight, ...] = ()


ALONE = Market()
"""Nothing is known beside the series' own candles."""


def part_series(series: Series) -> Series | None:
    """Return the series of the shorter interval inside this one, None where no model looks at one."""
    interval = PART_INTERVALS.get(series.interval)
    return Series(series.venue, series.symbol, interval) if interval else None


def neighbours(series: Series, among: Iterable[Series]) -> list[Series]:
    """Return those that a model of this series looks at: the other symbols, and the shorter series inside all of them.

    None for an interval whose models look at nothing but the series' own candles.
    """
    inside = PART_INTERVALS.get(series.interval)
    wanted = {(series.venue, series.interval), (series.venue, inside)} if inside else set()
    return sorted(one for one in among if (one.venue, one.interval) in wanted and one != series)


def market_around(series: Series | None, known: KnownCandles) -> Market:
    """Return what `known` holds beside `series`, of its venue; `ALONE` for candles whose series nobody named."""
    if series is None:
        return ALONE
    others = sorted(s for s in known if (s.venue, s.interval) == (series.venue, series.interval) and s != series)
    return Market(_parts(series, known), tuple(Sight(known[s], _parts(s, known)) for s in others))


def _parts(series: Series, known: KnownCandles) -> Candles | None:
    inside = part_series(series)
    return known.get(inside) if inside else None
