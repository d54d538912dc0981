"""What a model sees: one row of scale-free numbers per candle, known at that candle's close.

The same call serves training (a whole history) and serving (512 candles). No number looks back more than `REACH`
candles and none is carried on from the start of the history, so both give the same row. The market's columns are the
mean of the other symbols' own, the parts' columns come from the shorter candles inside; where those are not known
they are NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

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
_QUARTERS = (900, 1800, 2700)
_MOMENTUM = (3, 6, 12, 24, 48, 96, 288)
_RANGE_SPANS = (2, 5, 10, 20, 48, 120)
_VOLUMES = ((1, 12), (1, 96), (1, 288), (6, 96), (24, 288))
_LEAST_VOLUME = 1e-3  # a candle without trades counts as a thousandth of the usual volume
_LOCATION = "close_location"
_MEASURES = (_LOCATION, "range", "body", "upper_wick", "lower_wick")
_MARKET_MOMENTUM = (3, 6, 12, 24, 96)
_MARKET_MEASURES = (_LOCATION, "upper_wick", "lower_wick")
_PART_MEASURES = ("body", "close_location", "range", "upper_wick", "lower_wick", "volume_share")
_MARKET_PART_MEASURES = ("body", "close_location", "upper_wick", "lower_wick")


@dataclass(frozen=True, slots=True)
class _Group:
    """Columns that are computed together: `of` returns (rows, names)."""

    names: tuple[str, ...]
    of: Callable[[Frame], Floats | Integers]


def _returns(count: int) -> _Group:
    names = tuple(f"return_{lag}" for lag in range(count))
    return _Group(names, lambda frame: frame.newest(frame.returns, count) / frame.sig[:, None])


def _momentum(counts: tuple[int, ...]) -> _Group:
    return _Group(tuple(f"momentum_{count}" for count in counts), lambda frame: frame.changes(counts))


def _shapes(measures: tuple[str, ...], lags: int) -> _Group:
    """Return what the newest candles look like, sizes in units of sig."""
    is_size = np.array([measure != _LOCATION for measure in measures])

    def of(frame: Frame) -> Floats:
        columns = np.stack([getattr(frame, measure) for measure in measures], axis=1)
        unit = np.where(is_size, frame.sig[:, None], 1.0)
        return (frame.newest(columns, lags) / unit[:, None]).reshape(frame.rows, -1)

    return _Group(tuple(f"{measure}_{lag}" for lag in range(lags) for measure in measures), of)


def _ranges() -> _Group:
    """Return means of ln(range / sig): one wild candle moves them less than a mean of variances."""
    weights = [*(ewma_weights(span, min(5 * span, REACH)) for span in _RANGE_SPANS), _flat(REACH)]
    names = (*(f"volatility_{span}" for span in _RANGE_SPANS), USUAL_RANGE)
    return _Group(names, lambda frame: frame.means(frame.log_range, weights) - np.log(frame.sig)[:, None])


def _flat(count: int) -> Floats:
    return np.full(count, 1 / count)


def _variance(name: str, weights: Floats) -> _Group:
    """Return ln(mean variance by these weights / sig^2)."""
    return _Group((name,), lambda frame: np.log(frame.means(frame.variance, [weights]) / frame.mean_variance[:, None]))


def _squared_returns(spans: tuple[int, ...]) -> _Group:
    weights = [ewma_weights(span, 4 * span) for span in spans]

    def of(frame: Frame) -> Floats:
        squared = np.maximum(frame.means(frame.returns**2, weights), FLOOR)
        ratio: Floats = np.log(squared / frame.mean_variance[:, None])
        return ratio

    return _Group(tuple(f"squared_returns_{span}" for span in spans), of)


def _volumes(pairs: tuple[tuple[int, int], ...]) -> _Group:
    """Return ln(mean volume of a few candles / of many); NaN where nothing was traded at all."""
    counts = sorted({count for pair in pairs for count in pair})
    weights = [_flat(count) for count in counts]
    short, long = ([counts.index(count) for count in side] for side in zip(*pairs, strict=True))

    def of(frame: Frame) -> Floats:
        means = frame.means(frame.candles.volume, weights)
        recent, usual = means[:, short], means[:, long]
        ratio = np.divide(recent, usual, out=np.full(usual.shape, np.nan), where=usual > 0)
        logarithm: Floats = np.log(np.maximum(ratio, _LEAST_VOLUME))
        return logarithm

    return _Group(tuple(f"volume_{short}_{long}" for short, long in pairs), of)


def _gated(interval: Interval) -> Iterator[tuple[str, int, Iterable[int]]]:
    """Yield returns over so many candles, and at which starts of the next one, in seconds of the hour, they are shown.

    The first candle of an hour tends to reverse the hour before, the first of a quarter to continue the first
    part of the quarter before; elsewhere those returns say nothing and are 0.
    """
    hour, quarter = _HOUR // interval.seconds, _QUARTER // interval.seconds
    yield "hour_return_at_hour", hour, (0,)
    yield "hour_return_off_hour", hour, range(interval.seconds, _HOUR, interval.seconds)
    yield "three_hour_return_at_hour", 3 * hour, (0,)
    yield "last_return_at_hour", 1, (0,)
    if quarter > 1:
        yield "quarter_return_at_quarter", quarter, _QUARTERS
        yield "last_return_at_quarter", 1, _QUARTERS
        return
    for start in _QUARTERS:
        yield f"last_return_at_{start // 60}", 1, (start,)
        yield f"hour_return_at_{start // 60}", hour, (start,)


def _shown_at_starts(interval: Interval, wanted: Iterable[str] | None = None) -> _Group:
    """Return the gated returns, or of them only those that are `wanted`."""
    known = {name: (count, starts) for name, count, starts in _gated(interval)}
    names = tuple(known if wanted is None else wanted)
    counts = sorted({known[name][0] for name in names})
    which = [counts.index(known[name][0]) for name in names]
    shown = np.array([[start in known[name][1] for name in names] for start in range(0, _HOUR, interval.seconds)])

    def of(frame: Frame) -> Floats:
        return np.where(shown[_slot(frame)], frame.changes(counts)[:, which], 0.0)

    return _Group(names, of)


def _first_return(quarter: int) -> _Group:
    """Return the first return of the quarter before, gated like the others; a quarter is so many candles."""

    def of(frame: Frame) -> Floats:
        opens_quarter = np.isin(frame.next_start % _HOUR, _QUARTERS)
        return np.where(opens_quarter, frame.scaled_return(quarter - 1), 0.0)

    return _single("first_return_at_quarter", of)


def _slot(frame: Frame) -> Integers:
    """Return where in the hour the next candle starts."""
    return frame.next_start % _HOUR // frame.interval.seconds


def _hour(frame: Frame) -> Floats:
    return frame.next_start % _DAY / _HOUR


def _weekday(frame: Frame) -> Integers:
    return (frame.next_start // _DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0


def _symbol(frame: Frame) -> Floats:
    return np.full(frame.rows, frame.symbol_code)


def _single(name: str, of: Callable[[Frame], Floats | Integers]) -> _Group:
    return _Group((name,), lambda frame: of(frame)[:, None])


@cache
def _own(interval: Interval) -> tuple[_Group, ...]:
    """Return the columns that read the series' own candles."""
    groups = [_returns(12), _momentum(_MOMENTUM), _shapes(_MEASURES, 4)]
    groups += [_variance("volatility_now", _flat(1)), _ranges(), _squared_returns((12, 48))]
    day = _DAY // interval.seconds
    if 1 < day < REACH:
        around = np.concatenate([np.zeros(day - 2), [0.25, 0.5, 0.25]])
        groups.append(_variance("volatility_yesterday", around))
    groups.append(_volumes(_VOLUMES))
    if interval.seconds < _HOUR:
        groups += [_single("slot", _slot), _shown_at_starts(interval)]
    if interval.seconds < _QUARTER:
        groups.append(_first_return(_QUARTER // interval.seconds))
    return *groups, _single("hour", _hour), _single("weekday", _weekday), _single(SYMBOL, _symbol)


@cache
def _shared(interval: Interval) -> tuple[_Group, ...]:
    """Return the columns of the other symbols that are averaged; none where they were seen not to help."""
    if interval not in PART_INTERVALS:
        return ()
    groups = (_returns(6), _momentum(_MARKET_MOMENTUM), _shapes(_MARKET_MEASURES, 1))
    if interval.seconds < _HOUR:
        return *groups, _shown_at_starts(interval, ("last_return_at_hour", "hour_return_at_hour"))
    return groups


def _names(groups: Iterable[_Group]) -> tuple[str, ...]:
    return tuple(name for group in groups for name in group.names)


def _part_count(interval: Interval) -> int:
    return interval.seconds // PART_INTERVALS[interval].seconds if interval in PART_INTERVALS else 0


def _part_names(interval: Interval, measures: Iterable[str]) -> list[str]:
    """Return names of the parts' columns; part 0 is the newest."""
    return [f"part_{measure}_{part}" for part in range(_part_count(interval)) for measure in measures]


@cache
def _market_names(interval: Interval) -> tuple[str, ...]:
    return tuple(
        f"market_{name}" for name in (*_names(_shared(interval)), *_part_names(interval, _MARKET_PART_MEASURES))
    )


@cache
def _all_names(interval: Interval) -> tuple[str, ...]:
    return (*_names(_own(interval)), *_part_names(interval, _PART_MEASURES), *_market_names(interval))


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The declared features of one interval. Their names carry their parameters."""

    interval: Interval
    window: int = WINDOW

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return _all_names(self.interval)

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the columns that read nothing but the series' own candles; they come first."""
        return _names(_own(self.interval))

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
        own = _filled(filled, frame, _own(candles.interval))
        if market is not ALONE:
            beside = [_part_columns(frame, market.parts, _PART_MEASURES), _market_columns(frame, market.others)]
            filled[:, own:] = np.hstack(beside)
        filled[~frame.complete] = np.nan
    return matrix


def _filled(matrix: NDArray[np.floating], frame: Frame, groups: Iterable[_Group]) -> int:
    """Write the columns of the groups, one after the other; return how many they are."""
    end = 0
    for group in groups:
        first, end = end, end + len(group.names)
        matrix[:, first:end] = group.of(frame)
    return end


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
    values = np.empty((other.rows, len(_market_names(frame.interval))))
    own = _filled(values, other, _shared(frame.interval))
    values[:, own:] = _part_columns(other, sight.parts, _MARKET_PART_MEASURES)
    values[~other.complete] = np.nan
    return rows, values[at - at[0]]
