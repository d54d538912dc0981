"""What a model sees: one row of scale-free numbers per candle, known at that candle's close.

The same call serves training (a whole history) and serving (512 candles). No number looks back more than `REACH`
candles and none is carried on from the start of the history, so both give the same row. The market's columns are the
mean of the other symbols' own, the parts' columns come from the shorter candles inside; where those are not known
they are NaN.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats, Interval, Times
from candlecast.errors import GapInWindow, NotEnoughCandles
from candlecast.frame import REACH, Frame, Integers, Shapes
from candlecast.market import ALONE, PART_INTERVALS, Market, Sight
from candlecast.volatility import FLOOR, LAGS, SPAN, ewma_weights, unbroken

FloatMatrix = NDArray[np.float32]

WINDOW = 512
"""Candles that a forecast reads: `REACH` for a row of features, the others to see how well its intervals covered."""

REVISION = 3
"""Raise it whenever a formula below changes: models fitted on the old ones are then refused by their fingerprint."""

SYMBOL = "symbol"
"""The column of the model's number for the symbol."""

USUAL_RANGE = f"volatility_flat_{REACH}"
"""The column that holds ln(usual range / sig): the mean over all candles that a row reads."""

_HOUR, _QUARTER, _DAY = 3600, 900, 86400
_RETURN_LAGS = range(12)
_MOMENTUM = (3, 6, 12, 24, 48, 96, 288)
_SHAPE_LAGS = range(4)
_RANGE_SPANS = (2, 5, 10, 20, 48, 120)
_VOLUMES = ((1, 12), (1, 96), (1, 288), (6, 96), (24, 288))
_LEAST_VOLUME = 1e-3  # a candle without trades counts as a thousandth of the usual volume
_MEASURES = ("range", "body", "upper_wick", "lower_wick")
_MARKET_LAGS = range(6)
_MARKET_MOMENTUM = (3, 6, 12, 24, 96)
_PART_MEASURES = ("body", "close_location", "range", "upper_wick", "lower_wick", "volume_share")
_MARKET_PART_MEASURES = ("body", "close_location", "upper_wick", "lower_wick")


_Transform = Callable[[Frame], Floats | Integers]


def _returns() -> Iterator[tuple[str, _Transform]]:
    for lag in _RETURN_LAGS:
        yield f"return_{lag}", partial(Frame.scaled_return, lag=lag)
    for count in _MOMENTUM:
        yield f"momentum_{count}", partial(Frame.change, count=count)


def _shapes(lags: Iterable[int]) -> Iterator[tuple[str, _Transform]]:
    for lag in lags:
        yield f"close_location_{lag}", partial(_location, lag=lag)
        for measure in _MEASURES:
            yield f"{measure}_{lag}", partial(_measured, measure=measure, lag=lag)


def _location(frame: Frame, lag: int) -> Floats:
    return frame.lag(frame.close_location, lag)


def _measured(frame: Frame, measure: str, lag: int) -> Floats:
    column: Floats = getattr(frame, measure)
    return frame.lag(column, lag) / frame.sig


def _volatilities() -> Iterator[tuple[str, _Transform]]:
    yield "volatility_now", partial(_variance_ratio, weights=np.ones(1))
    for span in _RANGE_SPANS:
        yield f"volatility_{span}", partial(_mean_range, weights=ewma_weights(span, min(5 * span, REACH)))
    yield USUAL_RANGE, partial(_mean_range, weights=_flat(REACH))
    for span in (12, 48):
        yield f"squared_returns_{span}", partial(_squared_return_ratio, weights=ewma_weights(span, 4 * span))


def _flat(count: int) -> Floats:
    return np.full(count, 1 / count)


def _variance_ratio(frame: Frame, weights: Floats) -> Floats:
    """Return ln(mean variance by these weights / sig^2)."""
    ratio: Floats = np.log(frame.mean(frame.variance, weights) / frame.mean_variance)
    return ratio


def _mean_range(frame: Frame, weights: Floats) -> Floats:
    """Return the mean of ln(range / sig) by these weights: one wild candle moves it less than a mean of variances."""
    logarithm = np.log(np.maximum(frame.range, math.sqrt(FLOOR)))
    return frame.mean(logarithm, weights) - np.log(frame.sig)


def _squared_return_ratio(frame: Frame, weights: Floats) -> Floats:
    squared = np.maximum(frame.mean(frame.returns**2, weights), FLOOR)
    ratio: Floats = np.log(squared / frame.mean_variance)
    return ratio


def _volumes() -> Iterator[tuple[str, _Transform]]:
    for short, long in _VOLUMES:
        yield f"volume_{short}_{long}", partial(_volume_ratio, short=short, long=long)


def _volume_ratio(frame: Frame, short: int, long: int) -> Floats:
    """Return ln(mean volume of `short` candles / of `long` candles); NaN where nothing was traded at all."""
    volume = frame.candles.volume
    recent = frame.mean(volume, _flat(short))
    usual = frame.mean(volume, _flat(long))
    ratio = np.divide(recent, usual, out=np.full(len(usual), np.nan), where=usual > 0)
    logarithm: Floats = np.log(np.maximum(ratio, _LEAST_VOLUME))
    return logarithm


def _slots(interval: Interval) -> Iterator[tuple[str, _Transform]]:
    """Where the next candle starts in the hour, and recent returns shown only at the starts where they matter.

    The first candle of an hour tends to reverse the hour before, the first of a quarter to continue the first
    part of the quarter before; elsewhere those returns say nothing and are 0.
    """
    hour, quarter = _HOUR // interval.seconds, max(_QUARTER // interval.seconds, 1)
    last, past_hour = partial(Frame.scaled_return, lag=0), partial(Frame.change, count=hour)
    yield "slot", _slot
    yield "hour_return_at_hour", _gated(_at_minute(0), past_hour)
    yield "hour_return_off_hour", _gated(_off_hour, past_hour)
    yield "three_hour_return_at_hour", _gated(_at_minute(0), partial(Frame.change, count=3 * hour))
    yield "last_return_at_hour", _gated(_at_minute(0), last)
    if quarter == 1:
        for minute in (15, 30, 45):
            yield f"last_return_at_{minute}", _gated(_at_minute(minute), last)
            yield f"hour_return_at_{minute}", _gated(_at_minute(minute), past_hour)
    else:
        yield "quarter_return_at_quarter", _gated(_at_quarter, partial(Frame.change, count=quarter))
        yield "last_return_at_quarter", _gated(_at_quarter, last)
        yield "first_return_at_quarter", _gated(_at_quarter, partial(Frame.scaled_return, lag=quarter - 1))


def _slot(frame: Frame) -> Integers:
    return frame.next_start % _HOUR // frame.interval.seconds


def _gated(gate: Callable[[Frame], Bools], value: Callable[[Frame], Floats]) -> _Transform:
    return lambda frame: np.where(gate(frame), value(frame), 0.0)


def _at_minute(minute: int) -> Callable[[Frame], Bools]:
    return lambda frame: np.equal(frame.next_start % _HOUR, 60 * minute)


def _off_hour(frame: Frame) -> Bools:
    return np.not_equal(frame.next_start % _HOUR, 0)


def _at_quarter(frame: Frame) -> Bools:
    """Mark next candles that open the second, third or fourth quarter of an hour."""
    return np.equal(frame.next_start % _QUARTER, 0) & _off_hour(frame)


def _times() -> Iterator[tuple[str, _Transform]]:
    yield "hour", _hour
    yield "weekday", _weekday


def _hour(frame: Frame) -> Floats:
    return frame.next_start % _DAY / _HOUR


def _weekday(frame: Frame) -> Integers:
    return (frame.next_start // _DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0


def _yesterday(interval: Interval) -> Iterator[tuple[str, _Transform]]:
    """Volatility at the next candle's time of the day before, where a day fits into the window."""
    day = _DAY // interval.seconds
    if 1 < day < REACH:
        around = np.concatenate([np.zeros(day - 2), [0.25, 0.5, 0.25]])
        yield "volatility_yesterday", partial(_variance_ratio, weights=around)


def _symbol(frame: Frame) -> Floats:
    return np.full(frame.rows, frame.symbol_code)


@cache
def _own(interval: Interval) -> Mapping[str, _Transform]:
    """Return the columns that read the series' own candles."""
    slots = _slots(interval) if interval.seconds < _HOUR else iter(())
    shapes = _shapes(_SHAPE_LAGS)
    groups = (_returns(), shapes, _volatilities(), _yesterday(interval), _volumes(), slots, _times())
    return {name: transform for group in groups for name, transform in group} | {SYMBOL: _symbol}


@cache
def _shared(interval: Interval) -> Mapping[str, _Transform]:
    """Return the columns of the other symbols that are averaged; none where they were seen not to help."""
    if interval not in PART_INTERVALS:
        return {}
    wanted = [f"return_{lag}" for lag in _MARKET_LAGS] + [f"momentum_{count}" for count in _MARKET_MOMENTUM]
    wanted += ["close_location_0", "upper_wick_0", "lower_wick_0"]
    if interval.seconds < _HOUR:
        wanted += ["last_return_at_hour", "hour_return_at_hour"]
    own = _own(interval)
    return {name: own[name] for name in wanted}


def _part_count(interval: Interval) -> int:
    return interval.seconds // PART_INTERVALS[interval].seconds if interval in PART_INTERVALS else 0


def _part_names(interval: Interval, measures: Iterable[str]) -> list[str]:
    """Return names of the parts' columns; part 0 is the newest."""
    return [f"part_{measure}_{part}" for part in range(_part_count(interval)) for measure in measures]


@cache
def _market_names(interval: Interval) -> tuple[str, ...]:
    return tuple(f"market_{name}" for name in (*_shared(interval), *_part_names(interval, _MARKET_PART_MEASURES)))


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The declared features of one interval. Their names carry their parameters."""

    interval: Interval
    window: int = WINDOW

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        interval = self.interval
        return (*_own(interval), *_part_names(interval, _PART_MEASURES), *_market_names(interval))

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the columns that read nothing but the series' own candles; they come first."""
        return tuple(_own(self.interval))

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the declared definition; equal fingerprints mean equal rows from equal candles."""
        definition = [REVISION, self.window, REACH, self.interval.value, SPAN, LAGS, FLOOR, _LEAST_VOLUME, self.names]
        return hashlib.sha256(json.dumps(definition).encode()).hexdigest()


def complete_windows(candles: Candles) -> Bools:
    """Mark the rows that have features: `WINDOW` candles up to and with their own, none of them missing."""
    return unbroken(candles, WINDOW)


def newest_unbroken(candles: Candles, count: int, whose: str) -> Candles:
    """Return the newest `count` candles; raise NotEnoughCandles or GapInWindow, in `whose` name, where it cannot."""
    if len(candles) < count:
        raise NotEnoughCandles(
            f"{whose}: have {len(candles)} candles, need {count}; ingest or send more", have=len(candles), need=count
        )
    newest = candles[len(candles) - count :]
    gaps = newest.gaps()
    if gaps:
        raise GapInWindow(
            f"{whose}: {gaps[0].missing} candles are missing from {gaps[0].open_time:%Y-%m-%d %H:%M} UTC on, within "
            f"the {count} candles that this forecast reads",
            open_time=gaps[0].open_time,
            missing=gaps[0].missing,
        )
    return newest


def build_features(
    candles: Candles, symbol_code: float = np.nan, last: int | None = None, market: Market = ALONE
) -> FloatMatrix:
    """Return the features of `FeatureSpec(candles.interval)`: a row per candle, or only of the `last` ones.

    Shape (rows, features). Rows that cannot look back over `REACH` candles without a gap are all NaN. `symbol_code` is
    the model's number for the symbol, NaN where it knows none. Columns of parts or of the market are NaN where those
    are not known at the row's close; other NaNs mean that a ratio had nothing to be measured by.
    """
    wanted = len(candles) if last is None else min(last, len(candles))
    matrix = np.full((wanted, len(FeatureSpec(candles.interval).names)), np.nan, dtype=np.float32)
    first = max(len(candles) - wanted, REACH - 1)
    if first < len(candles):
        frame = Frame(candles, first, symbol_code)
        filled = matrix[-frame.rows :]
        own = _own(candles.interval)
        for column, transform in enumerate(own.values()):
            filled[:, column] = transform(frame)
        beside = [_part_columns(frame, market.parts, _PART_MEASURES), _market_columns(frame, market.others)]
        filled[:, len(own) :] = np.hstack(beside)
        filled[~frame.complete] = np.nan
    return matrix


def _part_columns(frame: Frame, parts: Candles | None, measures: tuple[str, ...]) -> Floats:
    """Return (rows, parts x measures) of the shorter candles inside each row's candle, newest first.

    Sizes are in units of what sig leaves for one part. Rows whose parts are not all there are NaN.
    """
    count = _part_count(frame.interval)
    columns = np.full((frame.rows, count * len(measures)), np.nan)
    if count and parts is not None:
        rows, newest = _where(frame.cutoff, parts.close_time)
        whole = newest >= count - 1
        rows, newest = rows[whole], newest[whole]
        whole = parts.open_time[newest - count + 1] == frame.cutoff[rows] - frame.interval.step
        rows, newest = rows[whole], newest[whole]
        if len(rows):
            columns[rows] = _inside(parts, newest, count, measures, frame.sig[rows] / np.sqrt(count))
    return columns


def _inside(parts: Candles, newest: Integers, count: int, measures: tuple[str, ...], sig: Floats) -> Floats:
    start = int(newest[0]) - count + 1
    shapes = Shapes(parts[start : int(newest[-1]) + 1])
    at = newest[:, None] - start - np.arange(count)
    columns = np.empty((len(newest), count, len(measures)))
    for column, measure in enumerate(measures):
        if measure == "volume_share":
            volume = parts.volume[start:][at]
            whole = volume.sum(axis=1, keepdims=True)
            columns[:, :, column] = np.divide(volume, whole, out=np.full(at.shape, 1 / count), where=whole > 0)
        else:
            values: Floats = getattr(shapes, measure)[at]
            columns[:, :, column] = values if measure == "close_location" else values / sig[:, None]
    inside: Floats = columns.reshape(len(newest), -1)
    return inside


def _where(times: Times, among: Times) -> tuple[Integers, Integers]:
    """Return the rows of `times` that are found `among` others, and where; both ascending."""
    at = np.searchsorted(among, times)
    found = at < len(among)
    found[found] = among[at[found]] == times[found]
    return np.flatnonzero(found), at[found]


def _market_columns(frame: Frame, others: Iterable[Sight]) -> Floats:
    """Return the mean of the other symbols' columns at the same close, over those that are known."""
    total = np.zeros((frame.rows, len(_market_names(frame.interval))))
    count = np.zeros(total.shape)
    for sight in others if total.size else ():
        rows, values = _seen(frame, sight)
        known = np.isfinite(values)
        total[rows] += np.where(known, values, 0)
        count[rows] += known
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _seen(frame: Frame, sight: Sight) -> tuple[Integers, Floats]:
    """Return which rows another symbol has columns for, and these columns."""
    rows, at = _where(frame.cutoff, sight.candles.close_time)
    rows, at = rows[at >= REACH - 1], at[at >= REACH - 1]
    if not len(at):
        return rows, np.empty((0, len(_market_names(frame.interval))))
    other = Frame(sight.candles[: int(at[-1]) + 1], int(at[0]))
    columns = [transform(other) for transform in _shared(frame.interval).values()]
    values = np.column_stack([*columns, _part_columns(other, sight.parts, _MARKET_PART_MEASURES)])
    values[~other.complete] = np.nan
    return rows, values[at - at[0]]
