"""What is compared: which windows, and the scale-free columns of their rows. Pure, no database.

Windows are whole days, so every hour of the day weighs the same in both. Raw prices are never compared: they
differ between any two months and say nothing about a model that does not see them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from candlecast.candles import Bools, Candles, Floats, Interval, Series, Times, to_datetime64
from candlecast.drift import Window
from candlecast.errors import NotEnoughCandles
from candlecast.features import WINDOW, FeatureSpec, build_features
from candlecast.forecast import Forecast, Forecaster
from candlecast.volatility import volatility

MOST_ROWS = 5000
"""Rows of each window that are compared; more cost time and change the distance in the third digit."""

FEWEST_NULLS = 19
"""Null windows without which no threshold is passed once in twenty times: of fewer than 20 ranks none is so rare."""

_CURRENT = timedelta(days=7)
_FEWEST_CANDLES = 168  # of one series in the current window: a week of hours
_BLOCKS = 7  # of the current window; a day where that is a week
_REFERENCE_BLOCKS = 4 * _BLOCKS
_NULL_BLOCKS = 26 * _BLOCKS
_ROWS_AT_ONCE = 5000

# Say where a row lies, not what the market does; a whole number of days holds each equally often.
_CALENDAR = ("slot", "hour", "weekday", "symbol")
# The same values as the column of lag 0, one or a few candles older.
_COPY = re.compile(r"(return|close_location|range|body|upper_wick|lower_wick)_[1-9]\d*")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one window: their cutoffs, and columns by name; NaN where a row has no such value."""

    cutoff: Times
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.cutoff)

    def __getitem__(self, chosen: Bools | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Rows:
        return Rows(self.cutoff[chosen], {name: column[chosen] for name, column in self.columns.items()})


def current_length(interval: Interval) -> timedelta:
    """Return the length of the current window: a week, or as many whole days as hold 168 candles."""
    days = -(-_FEWEST_CANDLES * interval.seconds // 86400)
    return max(_CURRENT, timedelta(days=days))


def block_length(interval: Interval) -> timedelta:
    """Return the step between null windows: whole days, a seventh of the current window."""
    return current_length(interval) / _BLOCKS


def null_past(interval: Interval, *, first: datetime, reference: Window) -> Window:
    """Return the past that null windows are taken from: up to the reference's end, half a year where so much is stored.

    Half a year of weeks, that is: 26 times the current window, in whole blocks.
    """
    block = block_length(interval)
    blocks = min(_NULL_BLOCKS, (reference.end - first) // block)
    return Window(reference.end - blocks * block, reference.end)


def choose_windows(
    interval: Interval, *, first: datetime, newest: datetime, trained: tuple[datetime, datetime] | None
) -> tuple[Window, Window]:
    """Return the reference and the current window.

    `first` and `newest` are the first and the last cutoff that have features. `trained` are those of the champion's
    training; without a champion the reference is simply what came before the current window. The reference is four
    times as long as the current window where so much is stored, and leaves two thirds of the past to null windows where
    these are enough; NotEnoughCandles when it cannot be half as long.
    """
    length = current_length(interval)
    current = Window(newest - length, newest)
    end = current.start if trained is None else min(trained[1], current.start)
    begin = first if trained is None else max(first, trained[0])
    days = min(_longest_reference(interval, end - first), end - begin) // timedelta(days=1)
    if days < length / timedelta(days=2):
        have, need = (newest - first) / timedelta(days=1), 1.5 * length / timedelta(days=1)
        raise NotEnoughCandles(
            f"{interval} candles: the reference has {max(0, days)} days before {end:%Y-%m-%d %H:%M} UTC, needs "
            f"{length.days / 2:g}; drift can be told once {need:g} days are stored",
            have=round(have, 1),
            need=need,
        )
    return Window(end - timedelta(days=days), end), current


def lead_in(window: Window, interval: Interval) -> datetime:
    """Return the open time of the oldest candle that the window's features read."""
    return window.start - (WINDOW - 1) * interval.delta


def watched_features(interval: Interval) -> list[str]:
    """Return the features that are compared: the series' own, each once, without its lagged copies, and no calendar."""
    return [name for name in FeatureSpec(interval).own_names if name not in _CALENDAR and not _COPY.fullmatch(name)]


def window_rows(series: Series, candles: Candles, window: Window, forecaster: Forecaster | None) -> Rows:
    """Return the rows of one series whose cutoffs lie in the window, as far as no gap keeps them from having any."""
    read = candles.between(lead_in(window, series.interval), window.end)
    parts = [_unbroken_rows(series, run, forecaster) for run in read.split_at_gaps() if len(run) >= WINDOW]
    names = [*watched_features(series.interval), *_forecast_names(forecaster)]
    rows = join(parts) if parts else Rows(candles.close_time[:0], {name: np.empty(0) for name in names})
    return rows[(rows.cutoff > to_datetime64(window.start)) & (rows.cutoff <= to_datetime64(window.end))]


def join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several series, or stretches of one, as one table."""
    names = parts[0].columns
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
    return Rows(np.concatenate([part.cutoff for part in parts]), columns)


def sample(rows: Rows, most: int = MOST_ROWS) -> Rows:
    """Return at most so many rows, always the same ones of the same rows."""
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(0).choice(len(rows), most, replace=False)
    return rows[np.sort(chosen)]


def _longest_reference(interval: Interval, past: timedelta) -> timedelta:
    block = block_length(interval)
    longest = _REFERENCE_BLOCKS * block
    third = min(longest, past // (3 * block) * block)
    enough = past - third >= (_BLOCKS + FEWEST_NULLS - 1) * block
    return third if enough else longest


def _unbroken_rows(series: Series, candles: Candles, forecaster: Forecaster | None) -> Rows:
    """Return the rows of candles without a gap, made piece by piece: forecasts of a year are not held at once."""
    count = len(candles) - WINDOW + 1
    starts = range(0, count, _ROWS_AT_ONCE)
    pieces = [candles[start : min(start + _ROWS_AT_ONCE, count) + WINDOW - 1] for start in starts]
    return join([_piece_rows(series, piece, forecaster) for piece in pieces])


def _piece_rows(series: Series, candles: Candles, forecaster: Forecaster | None) -> Rows:
    count = len(candles) - WINDOW + 1
    names = FeatureSpec(series.interval).names
    matrix = build_features(candles, last=count)
    columns = {name: matrix[:, names.index(name)].astype(np.float64) for name in watched_features(series.interval)}
    if forecaster is not None:
        unit = volatility(candles)[-count:]
        columns |= dict(_forecast_columns(forecaster.forecast(series, candles, last=count), unit))
    return Rows(candles.close_time[-count:], columns)


def _forecast_names(forecaster: Forecaster | None) -> list[str]:
    horizons = forecaster.horizons if forecaster is not None else ()
    return [f"{name}_{h}" for h in horizons for name in ("p_up", "predicted_move", "predicted_width")]


def _forecast_columns(forecasts: Sequence[Forecast], unit: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield what was said, in units of the volatility at the cutoff: nothing here depends on the price level."""
    for horizon in sorted({one.horizon for one in forecasts}):
        own = [one for one in forecasts if one.horizon == horizon]
        scale = unit * np.sqrt(horizon)
        bounds = np.array([one.interval(80) for one in own])
        moved = np.array([one.close / one.last_close for one in own])
        yield f"p_up_{horizon}", np.array([np.nan if one.p_up is None else one.p_up for one in own])
        yield f"predicted_move_{horizon}", np.log(moved) / scale
        yield f"predicted_width_{horizon}", np.log(bounds[:, 1] / bounds[:, 0]) / scale
