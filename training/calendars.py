"""Markets that close: trading days counted one after the other, so that a weekend is no gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

import numpy as np

from candlecast.candles import Candles, Series, Times, from_datetime64, to_datetime64
from candlecast.errors import UsageError
from candlecast.evaluation import Judged, Split


class Calendar(StrEnum):
    """When a market trades: always, or on days of which some are absent (weekends, holidays)."""

    ALWAYS = "24/7"
    WEEKDAYS = "weekdays"


@dataclass(frozen=True, slots=True, eq=False)
class TradingTime:
    """The open times of one series, renumbered without holes: its n-th candle opens at first + n intervals.

    Other series are renumbered by the same calendar, so that what traded on one day stays together; their candles of
    other days are left out. Calendar features then count trading days, not days of the week.
    """

    open_time: Times
    step: np.timedelta64

    @classmethod
    def of(cls, candles: Candles) -> Self:
        """Return the calendar on which `candles` have no gap."""
        return cls(candles.open_time, candles.interval.step)

    def renumbered(self, candles: Mapping[Series, Candles]) -> dict[Series, Candles]:
        """Return the candles at their renumbered times."""
        return {series: self._one(those) for series, those in candles.items()}

    def _one(self, candles: Candles) -> Candles:
        known = candles[np.isin(candles.open_time, self.open_time)]
        at = np.searchsorted(self.open_time, known.open_time)
        return replace(known, open_time=self.open_time[0] + at * self.step)

    def number(self, moment: datetime) -> datetime:
        """Return the renumbered time of the first close at or after `moment`."""
        closes = self.open_time + self.step
        at = int(np.searchsorted(closes, to_datetime64(moment)))
        return from_datetime64(self.open_time[0] + (at + 1) * self.step)

    def split(self, split: Split, horizon: int) -> Split:
        """Return a window of the market's time at its renumbered times, with `horizon` trading days of embargo."""
        start = self.number(split.test_start)
        embargo = horizon * self.step.astype("timedelta64[ms]").astype(object)
        return Split(start - embargo, start, self.number(split.test_end))

    def restored(self, judged: Judged) -> Judged:
        """Return the judgement at the times of the market."""
        at = (judged.cutoff - self.open_time[0]) // self.step - 1
        return replace(judged, cutoff=self.open_time[at] + self.step)


def require_daily(series: Series, calendar: Calendar) -> None:
    """Raise UsageError for a calendar of days with candles of another length."""
    if calendar is Calendar.WEEKDAYS and series.interval != "1d":
        raise UsageError(f"--calendar weekdays is for daily candles; {series} has {series.interval} candles")
