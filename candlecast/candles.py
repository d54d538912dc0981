"""Interval, Symbol, Series and the columnar Candles: the words everything else is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from candlecast.errors import InvalidCandles, UsageError
from candlecast.sound import DUPLICATE, OPTIONAL, faults, is_sound, reasons

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]  # always datetime64[ms]
Bools = NDArray[np.bool_]

VENUES = ("binance", "coinbase", "kraken", "replay", "simulated")

_SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}
_ASSET = re.compile(r"[A-Z0-9]{1,20}")


class Interval(StrEnum):
    """The length of a candle, and the grid that its open times lie on (multiples since 1970-01-01 UTC)."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Return the interval written as `text`; raise UsageError that lists the known ones."""
        try:
            return cls(text)
        except ValueError:
            raise UsageError(f"unknown interval {text!r}; known are {', '.join(cls)}") from None

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return _SECONDS[self.value]

    @property
    def milliseconds(self) -> int:
        """Length in milliseconds."""
        return 1000 * self.seconds

    @property
    def delta(self) -> timedelta:
        """Length as a timedelta."""
        return timedelta(seconds=self.seconds)

    @property
    def step(self) -> np.timedelta64:
        """Length as a numpy timedelta64[ms]."""
        return np.timedelta64(self.milliseconds, "ms")

    def floor(self, moment: datetime) -> datetime:
        """Return the latest grid time at or before `moment` (aware)."""
        return from_ms(to_ms(moment) // self.milliseconds * self.milliseconds)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A traded pair in canonical spelling, `BTC-USDT`; the venue's own spelling stays in its adapter."""

    base: str
    quote: str

    def __post_init__(self) -> None:
        for asset in (self.base, self.quote):
            if not _ASSET.fullmatch(asset):
                raise UsageError(f"{asset!r} is no asset name; write a symbol like BTC-USDT")

    @classmethod
    def parse(cls, text: str) -> Symbol:
        """Return the symbol written as `BASE-QUOTE`; raise UsageError otherwise."""
        base, dash, quote = text.partition("-")
        if not dash:
            raise UsageError(f"{text!r} is no symbol; write it like BTC-USDT")
        return cls(base, quote)

    def __str__(self) -> str:
        return f"{self.base}-{self.quote}"


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One (venue, symbol, interval), written `binance:BTC-USDT:15m`."""

    venue: str
    symbol: Symbol
    interval: Interval

    def __post_init__(self) -> None:
        if self.venue not in VENUES:
            raise UsageError(f"unknown venue {self.venue!r}; known are {', '.join(VENUES)}")

    @classmethod
    def parse(cls, text: str) -> Series:
        """Return the series written as `venue:BASE-QUOTE:interval`; raise UsageError otherwise."""
        parts = text.split(":")
        if len(parts) != 3:
            raise UsageError(f"{text!r} is no series; write it like binance:BTC-USDT:15m")
        return cls(parts[0], Symbol.parse(parts[1]), Interval.parse(parts[2]))

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}:{self.interval}"


def to_ms(moment: datetime) -> int:
    """Return an aware time as whole epoch milliseconds; raise ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give an aware UTC time")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """Return epoch milliseconds as an aware UTC time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))


def to_datetime64(moment: datetime) -> np.datetime64:
    """Return an aware time as numpy datetime64[ms]."""
    return np.datetime64(to_ms(moment), "ms")


def from_datetime64(moment: np.datetime64) -> datetime:
    """Return a numpy time as an aware UTC time."""
    return from_ms(int(moment.astype("datetime64[ms]").astype(np.int64)))


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole: the open time of the first missing candle and how many are missing."""

    open_time: datetime
    missing: int


@dataclass(frozen=True, slots=True)
class Price:
    """What a source that gives no candles says a symbol last cost, and when that was (UTC)."""

    symbol: Symbol
    price: float
    source: str
    priced_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken: its position in what was offered, its open time in epoch ms, and why."""

    row: int
    open_time: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Candles of one interval as columns of equal length: float64 values, datetime64[ms] open times.

    Identity of a candle is `open_time`; `close_time` is its exclusive end. Prices are in the quote
    currency, `volume` in the base currency. The three optional columns hold NaN where a venue does
    not give them. Construction refuses columns that contradict themselves (InvalidCandles), so a
    value of this type is always ascending, unique, on the grid, finite, and has high and low around
    open and close. Gaps are allowed: a missing candle is a fact, see `gaps`.
    """

    interval: Interval
    open_time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats
    trades: Floats
    taker_buy_volume: Floats

    def __post_init__(self) -> None:
        columns = self.columns()
        _refuse_different_lengths(columns)
        if is_sound(self.interval.milliseconds, columns):
            return
        found = reasons(str(self.interval), self.interval.milliseconds, columns)
        wrong = np.flatnonzero(found != "")
        if wrong.size:
            row = int(wrong[0])
            more = f" ({wrong.size} rows are wrong)" if wrong.size > 1 else ""
            raise InvalidCandles(
                f"row {row}, open_time {self.open_time[row]}: {found[row]}{more}",
                row=row,
                reason=str(found[row]),
                count=int(wrong.size),
            )

    @classmethod
    def of(cls, interval: Interval, **columns: Any) -> Self:
        """Build from array-likes, `open_time` in epoch milliseconds or datetime64; optional columns may be left out.

        Raise InvalidCandles when a column is missing, is not numeric, or the rows contradict themselves.
        """
        return cls(interval, **_converted(columns))

    @classmethod
    def empty(cls, interval: Interval) -> Self:
        """Return no candles."""
        return cls.of(interval, open_time=[], open=[], high=[], low=[], close=[], volume=[])

    @classmethod
    def screen(cls, interval: Interval, **columns: Any) -> tuple[Self, list[Refusal]]:
        """Keep the rows that hold together, in ascending order, and say of every other one why it was refused.

        Rows may come in any order. Of rows with the same open time that agree, one is kept silently;
        where they disagree all of them are refused, because nobody can say which one is true. A row that
        contradicts itself is refused for that and has no say in this. Raise InvalidCandles when the
        columns themselves are wrong: missing, unknown, not numeric, or of different lengths.
        """
        offered = _converted(columns)
        order = np.argsort(offered["open_time"], kind="stable")
        ordered = {name: column[order] for name, column in offered.items()}
        found = faults(str(interval), interval.milliseconds, ordered).astype(object)
        sound = np.flatnonzero(found == "")
        repeated, disagreeing = _duplicates({name: column[sound] for name, column in ordered.items()})
        found[sound[repeated]] = DUPLICATE
        found[sound[disagreeing]] = "duplicates that disagree"
        refused = (found != "") & (found != DUPLICATE)
        refusals = [
            Refusal(int(order[i]), int(ordered["open_time"][i].astype(np.int64)), str(found[i]))
            for i in np.flatnonzero(refused)
        ]
        return cls(interval, **{name: column[found == ""] for name, column in ordered.items()}), refusals

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, in the order of the fields."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def __len__(self) -> int:
        return len(self.open_time)

    def __getitem__(self, rows: slice | Bools) -> Self:
        """Return some of the rows: a slice (without step) or a mask."""
        return self._trusted(self.interval, **{name: column[rows] for name, column in self.columns().items()})

    def __eq__(self, other: object) -> bool:
        """Two are equal when interval and all columns are; NaN equals NaN."""
        if not isinstance(other, Candles):
            return NotImplemented
        mine, theirs = self.columns(), other.columns()
        return self.interval == other.interval and all(
            np.array_equal(mine[name], theirs[name], equal_nan=name != "open_time") for name in mine
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    @property
    def close_time(self) -> Times:
        """Exclusive ends."""
        return self.open_time + self.interval.step

    @property
    def cutoff(self) -> datetime:
        """Close time of the newest candle; raises IndexError when there is none."""
        return from_datetime64(self.open_time[-1]) + self.interval.delta

    def closed(self, now: datetime) -> Self:
        """Return only the candles that are closed at the venue's `now` (close_time <= now)."""
        return self[self.close_time <= to_datetime64(now)]

    def between(self, start: datetime, end: datetime) -> Self:
        """Return the candles with start <= open_time < end."""
        # Open times are whole milliseconds, so rounding the bounds up keeps both comparisons exact.
        bounds = [to_datetime64(bound) + bool(bound.microsecond % 1000) for bound in (start, end)]
        first, last = np.searchsorted(self.open_time, bounds)
        return self[first:last]

    def gaps(self) -> list[Gap]:
        """Return the holes between the first and the last candle, oldest first."""
        steps = np.diff(self.open_time) // self.interval.step
        return [
            Gap(from_datetime64(self.open_time[i] + self.interval.step), int(steps[i]) - 1)
            for i in np.flatnonzero(steps > 1)
        ]

    def split_at_gaps(self) -> Iterator[Self]:
        """Yield the longest runs without a gap, oldest first."""
        breaks = np.flatnonzero(np.diff(self.open_time) > self.interval.step) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(self)]):
            if last > first:
                yield self[first:last]

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """Join candles of one interval that follow each other; raise InvalidCandles when they overlap or disagree."""
        if not parts:
            raise ValueError("nothing to join")
        if len({part.interval for part in parts}) > 1:
            raise InvalidCandles("candles of different intervals cannot be joined")
        columns = [part.columns() for part in parts]
        return cls(parts[0].interval, **{name: np.concatenate([c[name] for c in columns]) for name in columns[0]})

    @classmethod
    def _trusted(cls, interval: Interval, **columns: NDArray[Any]) -> Self:
        """Skip the checks: the columns are rows of candles that passed them."""
        new = object.__new__(cls)
        object.__setattr__(new, "interval", interval)
        for name, column in columns.items():
            object.__setattr__(new, name, column)
        return new


_COLUMNS = tuple(field.name for field in fields(Candles) if field.name != "interval")


def _converted(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    unknown = sorted(set(columns) - set(_COLUMNS))
    missing = [name for name in _COLUMNS if columns.get(name) is None and name not in OPTIONAL]
    if unknown or missing:
        problem = f"unknown column {unknown[0]!r}" if unknown else f"column {missing[0]!r} is missing"
        raise InvalidCandles(f"{problem}; candles have {', '.join(_COLUMNS)}")
    converted: dict[str, NDArray[Any]] = {"open_time": _times(columns["open_time"])}
    for name in _COLUMNS[1:]:
        given = columns.get(name)
        converted[name] = np.full(len(converted["open_time"]), np.nan) if given is None else _numbers(name, given)
    _refuse_different_lengths(converted)
    return converted


def _refuse_different_lengths(columns: Mapping[str, NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidCandles(f"columns differ in length: {lengths}; give one value per candle in each")


def _array(name: str, values: Any) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:  # lists of lists of different lengths
        raise InvalidCandles(f"column {name!r} must be one list of numbers") from None


def _times(values: Any) -> Times:
    array = _array("open_time", values)
    if array.ndim != 1:
        raise InvalidCandles("column 'open_time' must be one list of epoch milliseconds")
    if array.dtype.kind == "M":
        return array.astype("datetime64[ms]")
    if array.size and array.dtype.kind not in "iu":
        raise InvalidCandles("column 'open_time' must hold whole epoch milliseconds, UTC")
    return array.astype(np.int64).astype("datetime64[ms]")


def _numbers(name: str, values: Any) -> Floats:
    array = _array(name, values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise InvalidCandles(f"column {name!r} must be one list of numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def _duplicates(rows: Mapping[str, NDArray[Any]]) -> tuple[Bools, Bools]:
    """Mark, in rows sorted by open time, those that repeat the one before, and all of each group that disagrees."""
    times = rows["open_time"].astype(np.int64)
    repeated = np.diff(times, prepend=times[:1] - 1) == 0
    if not repeated.any():
        return repeated, repeated
    same = np.ones(len(repeated), dtype=bool)
    for name, column in rows.items():
        equal = column[1:] == column[:-1]
        same[1:] &= equal if name == "open_time" else equal | (np.isnan(column[1:]) & np.isnan(column[:-1]))
    group = np.cumsum(~repeated) - 1
    disagrees = np.zeros(group[-1] + 1, dtype=bool)
    disagrees[group[repeated & ~same]] = True
    return repeated, disagrees[group]
