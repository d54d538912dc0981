"""How wide candles usually are at their time of the day: fitted in training, carried in the artefact.

Crypto trades around the clock, but by the hours of New York: its markets open, and its statistics appear, at the same
local time in summer and winter. A profile of the day needs months of candles, more than the window of a forecast holds.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Self

import numpy as np

from candlecast.candles import Bools, Floats, Interval, Times

_DAY = 86400
_HOURS = 24
_SHRINKAGE = 20
_LIMIT = 3.0
_DECIMALS = 9
_NEIGHBOURS = np.array([0.25, 0.5, 0.25])


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """`profile` (2, slots of a day): what the start of a candle adds to the logarithm of its range.

    The first row is of New York's working days, the second of its weekends.
    """

    profile: Floats

    @classmethod
    def fit(cls, interval: Interval, starts: Times, excess: Floats) -> Self:
        """Average `excess`, ln(range of the candle that opens at each of `starts` / what is usual), by time of the day.

        Values beyond +-3 count as 3. A slot of few candles is drawn to 0; slots shorter than an hour lean on their
        neighbours.
        """
        slots = max(_DAY // interval.seconds, 1)
        weekend, slot = _local(starts, slots)
        place = slot + slots * weekend
        total = np.bincount(place, np.clip(excess, -_LIMIT, _LIMIT), 2 * slots)
        profile = (total / (np.bincount(place, minlength=2 * slots) + _SHRINKAGE)).reshape(2, slots)
        if slots > _HOURS:
            around = np.concatenate([profile[:, -1:], profile, profile[:, :1]], axis=1)
            profile = np.array([np.convolve(day, _NEIGHBOURS, "valid") for day in around])
        return cls(np.round(profile, _DECIMALS))

    def at(self, starts: Times) -> Floats:
        """Return the profile's value for candles that open at `starts`."""
        weekend, slot = _local(starts, self.profile.shape[1])
        values: Floats = self.profile[weekend.astype(np.intp), slot]
        return values

    def to_bytes(self) -> bytes:
        """Return the profile in numpy's own file format."""
        file = io.BytesIO()
        np.save(file, self.profile, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return what `to_bytes` wrote; raise ValueError for anything else."""
        profile = np.load(io.BytesIO(raw), allow_pickle=False)
        if profile.ndim != 2 or len(profile) != 2 or profile.dtype != np.float64 or not np.isfinite(profile).all():
            raise ValueError("this is not the profile of a season")
        return cls(profile)


def _local(starts: Times, slots: int) -> tuple[Bools, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Mark the weekends among `starts`, and return which of the day's slots each falls into, both in New York."""
    seconds = _new_york(starts).astype("datetime64[s]").astype(np.int64)
    weekend: Bools = (seconds // _DAY + 3) % 7 >= 5  # 1970-01-01 was a Thursday; Monday is 0
    return weekend, seconds % _DAY * slots // _DAY


def _new_york(times: Times) -> Times:
    """Return what clocks in New York show.

    Summer time lasts from 7:00 UTC on the second Sunday of March to 6:00 UTC on the first of November: the rule since
    2007 (Energy Policy Act of 2005, section 110), taken for the years before as well.
    """
    january = times.astype("datetime64[Y]").astype("datetime64[M]")
    first = _sunday(january + 2, 1) + np.timedelta64(7, "h")
    last = _sunday(january + 10, 0) + np.timedelta64(6, "h")
    behind = np.where((first <= times) & (times < last), 4, 5)
    return times - behind * np.timedelta64(3_600_000, "ms")


def _sunday(month: np.ndarray, number: int) -> Times:
    """Return midnight of a month's Sundays, the first being number 0."""
    return np.busday_offset(month.astype("datetime64[D]"), number, "forward", weekmask="Sun").astype("datetime64[ms]")
