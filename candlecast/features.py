"""What a model sees: one row of scale-free numbers per candle, known at that candle's close.

The same call serves training (a whole history) and serving (512 candles). No number looks back more than
`FeatureSpec.window` candles and none is carried on from the start of the history, so both give the same row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats, Interval
from candlecast.errors import GapInWindow, NotEnoughCandles
from candlecast.volatility import FLOOR, LAGS, SPAN, ewma_weights, garman_klass, trailing_mean, unbroken

FloatMatrix = NDArray[np.float32]
Integers = NDArray[np.int64]

WINDOW = 512
REVISION = 1
"""Raise it whenever a formula below changes: models fitted on the old ones are then refused by their fingerprint."""

_HOUR, _QUARTER, _DAY = 3600, 900, 86400
_RETURN_LAGS = range(12)
_MOMENTUM = (3, 6, 12, 24, 48, 96, 288)
_SHAPE_LAGS = range(4)
_GK_SPANS = (6, 12, 24, 96)
_LONG = 480
_VOLUMES = ((1, 12), (1, 96), (1, 288), (6, 96), (24, 288))
_LEAST_VOLUME = 1e-3  # a candle without trades counts as a thousandth of the usual volume


class _Frame:
    """Per-candle columns of the candles that some rows read, and those columns as seen from each row.

    Rows are the candles from `first` on; the columns start `WINDOW - 1` candles before.
    """

    def __init__(self, candles: Candles, first: int, symbol_code: float) -> None:
        self.candles = candles[first - WINDOW + 1 :]
        self.rows = len(candles) - first
        self.interval = candles.interval
        self.symbol_code = symbol_code

    def lag(self, column: Floats, lag: int) -> Floats:
        """Return the column's value `lag` candles before each row."""
        return column[WINDOW - 1 - lag : len(column) - lag]

    def mean(self, column: Floats, weights: Floats) -> Floats:
        """Return the weighted mean over the newest candles of each row; `weights` newest first."""
        size = len(weights)
        return trailing_mean(column[WINDOW - size :], weights)[size - 1 :]

    @cached_property
    def price(self) -> Floats:
        return np.log(self.candles.close)

    @cached_property
    def returns(self) -> Floats:
        # The oldest candle's own return is unknown here; no feature reads it.
        return np.diff(self.price, prepend=np.nan)

    @cached_property
    def variance(self) -> Floats:
        return garman_klass(self.candles)

    @cached_property
    def mean_variance(self) -> Floats:
        return self.mean(self.variance, ewma_weights(SPAN, LAGS))

    @cached_property
    def sig(self) -> Floats:
        return np.sqrt(self.mean_variance)

    @cached_property
    def next_start(self) -> Integers:
        """Epoch seconds at which the candle after each row starts."""
        return self.candles.close_time[WINDOW - 1 :].astype(np.int64) // 1000

    def change(self, count: int) -> Floats:
        """Return each row's log return over the newest `count` candles, in units of sig sqrt(count)."""
        moved: Floats = (self.lag(self.price, 0) - self.lag(self.price, count)) / (self.sig * np.sqrt(count))
        return moved

    def scaled_return(self, lag: int) -> Floats:
        return self.lag(self.returns, lag) / self.sig


_Transform = Callable[[_Frame], Floats | Integers]


def _returns() -> Iterator[tuple[str, _Transform]]:
    for lag in _RETURN_LAGS:
        yield f"return_{lag}", partial(_Frame.scaled_return, lag=lag)
    for count in _MOMENTUM:
        yield f"momentum_{count}", partial(_Frame.change, count=count)


def _shapes() -> Iterator[tuple[str, _Transform]]:
    for lag in _SHAPE_LAGS:
        yield f"close_location_{lag}", partial(_location_before, lag=lag)
        for name, measure in _MEASURES.items():
            yield f"{name}_{lag}", partial(_measure_before, measure=measure, lag=lag)


def _location_before(frame: _Frame, lag: int) -> Floats:
    return frame.lag(_close_location(frame.candles), lag)


def _measure_before(frame: _Frame, measure: Callable[[Candles], Floats], lag: int) -> Floats:
    return frame.lag(measure(frame.candles), lag) / frame.sig


def _range(candles: Candles) -> Floats:
    return np.log(candles.high / candles.low)


def _body(candles: Candles) -> Floats:
    return np.log(candles.close / candles.open)


def _close_location(candles: Candles) -> Floats:
    """Return where the close lies between low (-1) and high (1); 0 for a candle without range."""
    span = candles.high - candles.low
    return np.divide(2 * candles.close - candles.high - candles.low, span, out=np.zeros(len(span)), where=span > 0)


def _upper_wick(candles: Candles) -> Floats:
    return np.log(candles.high / np.maximum(candles.open, candles.close))


def _lower_wick(candles: Candles) -> Floats:
    return np.log(np.minimum(candles.open, candles.close) / candles.low)


_MEASURES = {"range": _range, "body": _body, "upper_wick": _upper_wick, "lower_wick": _lower_wick}


def _volatilities() -> Iterator[tuple[str, _Transform]]:
    yield "volatility_now", partial(_variance_ratio, weights=np.ones(1))
    for span in _GK_SPANS:
        yield f"volatility_{span}", partial(_variance_ratio, weights=ewma_weights(span, min(5 * span, _LONG)))
    yield f"volatility_flat_{_LONG}", partial(_variance_ratio, weights=_flat(_LONG))
    for span in (12, 48):
        yield f"squared_returns_{span}", partial(_squared_return_ratio, weights=ewma_weights(span, 4 * span))


def _flat(count: int) -> Floats:
    return np.full(count, 1 / count)


def _variance_ratio(frame: _Frame, weights: Floats) -> Floats:
    """Return ln(mean variance by these weights / sig^2)."""
    ratio: Floats = np.log(frame.mean(frame.variance, weights) / frame.mean_variance)
    return ratio


def _squared_return_ratio(frame: _Frame, weights: Floats) -> Floats:
    squared = np.maximum(frame.mean(frame.returns**2, weights), FLOOR)
    ratio: Floats = np.log(squared / frame.mean_variance)
    return ratio


def _volumes() -> Iterator[tuple[str, _Transform]]:
    for short, long in _VOLUMES:
        yield f"volume_{short}_{long}", partial(_volume_ratio, short=short, long=long)


def _volume_ratio(frame: _Frame, short: int, long: int) -> Floats:
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
    last, past_hour = partial(_Frame.scaled_return, lag=0), partial(_Frame.change, count=hour)
    yield "slot", _slot
    yield "hour_return_at_hour", _gated(_at_minute(0), past_hour)
    yield "hour_return_off_hour", _gated(_off_hour, past_hour)
    yield "three_hour_return_at_hour", _gated(_at_minute(0), partial(_Frame.change, count=3 * hour))
    yield "last_return_at_hour", _gated(_at_minute(0), last)
    if quarter == 1:
        for minute in (15, 30, 45):
            yield f"last_return_at_{minute}", _gated(_at_minute(minute), last)
            yield f"hour_return_at_{minute}", _gated(_at_minute(minute), past_hour)
    else:
        yield "quarter_return_at_quarter", _gated(_at_quarter, partial(_Frame.change, count=quarter))
        yield "last_return_at_quarter", _gated(_at_quarter, last)
        yield "first_return_at_quarter", _gated(_at_quarter, partial(_Frame.scaled_return, lag=quarter - 1))


def _slot(frame: _Frame) -> Integers:
    return frame.next_start % _HOUR // frame.interval.seconds


def _gated(gate: Callable[[_Frame], Bools], value: Callable[[_Frame], Floats]) -> _Transform:
    return lambda frame: np.where(gate(frame), value(frame), 0.0)


def _at_minute(minute: int) -> Callable[[_Frame], Bools]:
    return lambda frame: np.equal(frame.next_start % _HOUR, 60 * minute)


def _off_hour(frame: _Frame) -> Bools:
    return np.not_equal(frame.next_start % _HOUR, 0)


def _at_quarter(frame: _Frame) -> Bools:
    """Mark next candles that open the second, third or fourth quarter of an hour."""
    return np.equal(frame.next_start % _QUARTER, 0) & _off_hour(frame)


def _times() -> Iterator[tuple[str, _Transform]]:
    yield "hour", _hour
    yield "weekday", _weekday


def _hour(frame: _Frame) -> Floats:
    return frame.next_start % _DAY / _HOUR


def _weekday(frame: _Frame) -> Integers:
    return (frame.next_start // _DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0


def _yesterday(interval: Interval) -> Iterator[tuple[str, _Transform]]:
    """Volatility at the next candle's time of the day before, where a day fits into the window."""
    day = _DAY // interval.seconds
    if 1 < day < WINDOW:
        around = np.concatenate([np.zeros(day - 2), [0.25, 0.5, 0.25]])
        yield "volatility_yesterday", partial(_variance_ratio, weights=around)


@lru_cache
def _transforms(interval: Interval) -> Mapping[str, _Transform]:
    slots = _slots(interval) if interval.seconds < _HOUR else iter(())
    groups = (_returns(), _shapes(), _volatilities(), _yesterday(interval), _volumes(), slots, _times())
    named = {name: transform for group in groups for name, transform in group}
    return named | {"symbol": _symbol}


def _symbol(frame: _Frame) -> Floats:
    return np.full(frame.rows, frame.symbol_code)


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The declared features of one interval. Their names carry their parameters."""

    interval: Interval
    window: int = WINDOW

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(_transforms(self.interval))

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the declared definition; equal fingerprints mean equal rows from equal candles."""
        definition = [REVISION, self.window, self.interval.value, SPAN, LAGS, FLOOR, _LEAST_VOLUME, self.names]
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


def build_features(candles: Candles, symbol_code: float = np.nan, last: int | None = None) -> FloatMatrix:
    """Return the features of `FeatureSpec(candles.interval)`: a row per candle, or only of the `last` ones.

    Shape (rows, features). Rows outside `complete_windows` are all NaN. `symbol_code` is the model's number for the
    symbol, NaN where it knows none. Other NaNs mean that a ratio had nothing to be measured by.
    """
    wanted = len(candles) if last is None else min(last, len(candles))
    transforms = _transforms(candles.interval)
    matrix = np.full((wanted, len(transforms)), np.nan, dtype=np.float32)
    first = max(len(candles) - wanted, WINDOW - 1)
    if first < len(candles):
        frame = _Frame(candles, first, symbol_code)
        filled = matrix[-frame.rows :]
        for column, transform in enumerate(transforms.values()):
            filled[:, column] = transform(frame)
        filled[~complete_windows(frame.candles)[WINDOW - 1 :]] = np.nan
    return matrix
