"""Rows of several series as one table: of the windows that are compared, and of the past that thresholds come from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from candlecast.candles import Candles, Series
from candlecast.drift import Window
from candlecast.errors import NotEnoughCandles
from candlecast.forecast import Forecaster
from monitoring.thresholds import Thresholds, calibrate
from monitoring.windows import MOST_ROWS, Rows, join, sample, window_rows

log = logging.getLogger(__name__)

_LEAST_SHARE = 0.5  # of a window's candles; a series with fewer would shift the mix of symbols


def compared_rows(
    candles: Mapping[Series, Candles], windows: tuple[Window, Window], forecaster: Forecaster | None
) -> tuple[Rows, Rows]:
    """Return the rows of the reference and of the current window, of the series that fill at least half of each.

    Raise NotEnoughCandles where no series does.
    """
    found = {s: [window_rows(s, those, window, forecaster) for window in windows] for s, those in candles.items()}
    whole = {s: parts for s, parts in found.items() if all(map(_fills, [s, s], parts, windows))}
    if left_out := [str(series) for series in found if series not in whole]:
        log.warning("too few candles to compare: %s", ", ".join(left_out))
    if not whole:
        raise NotEnoughCandles("no series has half of the candles of both windows; ingest what is missing", have=0)
    reference, current = (sample(join([parts[i] for parts in whole.values()])) for i in (0, 1))
    return reference, current


def calibrated_thresholds(
    candles: Mapping[Series, Candles],
    past: Window,
    windows: tuple[Window, Window],
    forecaster: Forecaster | None,
    now: datetime,
) -> Thresholds | None:
    """Return thresholds by the null windows of the past; None where too few of them are stored.

    The past is sampled as densely as the windows that are compared: a sample's own error belongs to the distance.
    """
    most = round(MOST_ROWS * (past.length / windows[1].length) / len(candles))
    parts = []
    for series, those in candles.items():
        rows = window_rows(series, those, past, forecaster)
        parts += [sample(rows, most)] if _fills(series, rows, past) else []
    interval = next(iter(candles)).interval
    return calibrate(join(parts), past, interval, windows=windows, now=now) if parts else None


def _fills(series: Series, rows: Rows, window: Window) -> bool:
    return len(rows) >= _LEAST_SHARE * (window.length / series.interval.delta)
