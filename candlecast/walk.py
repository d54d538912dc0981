"""Walking forward: contenders that are fitted, judged on what came next, and fitted again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from candlecast.candles import Candles, Interval, Series, from_datetime64, to_datetime64
from candlecast.errors import NotEnoughCandles
from candlecast.evaluation import SAYABLE, Judged, Split, judge, walk_forward
from candlecast.forecast import Forecaster

History = Mapping[Series, Candles]
"""Candles by series, all of which had closed when something was fitted on them."""

Fit = Callable[[History, Series, Sequence[int]], Forecaster]
"""Fits a forecaster from a history, for a series and horizons; `pooled` contenders serve every series with one fit."""

Judgements = dict[Series, dict[int, Judged]]

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """A named way to a forecaster. `says` tells which of close, quantiles and p_up are its own words."""

    name: str
    fit: Fit
    says: frozenset[str] = frozenset(SAYABLE)
    pooled: bool = False
    """One fit on all series forecasts each of them; otherwise each series has its own."""
    refits: bool = True
    """Fitted again in every window; otherwise once, before the first."""


def windows(
    start: datetime, end: datetime, refit_every: timedelta, horizons: Sequence[int], interval: Interval
) -> list[Split]:
    """Return the windows of a walk over cutoffs with start <= cutoff < end, fitted anew every `refit_every`.

    The embargo is the longest horizon, so that no target that was learned reaches into the window that is judged.
    """
    return walk_forward(start, end, refit_every, embargo=max(horizons) * interval.delta)


def walk(
    contender: Contender,
    candles: History,
    judged: Sequence[Series],
    horizons: Sequence[int],
    splits: Sequence[Split],
    progress: Progress = lambda message: None,
) -> Judgements:
    """Fit before each window on what had closed by then, judge every `judged` series in it, and join the windows.

    Whatever a contender learns, scales and calibrators included, it learns anew in every window. All contenders are
    judged on the same cutoffs.
    """
    found: dict[Series, list[dict[int, Judged]]] = {series: [] for series in judged}
    fitted: dict[Series, Forecaster] = {}
    for number, split in enumerate(splits, start=1):
        if contender.refits or not fitted:
            fitted = _fit(contender, _closed(candles, split.train_end), judged, horizons)
        for series in judged:
            one = judge(fitted[series], series, candles[series], split.test_start, split.test_end, candles)
            found[series].append(one)
        progress(f"{contender.name}: window {number} of {len(splits)}, until {split.test_end:%Y-%m-%d}")
    return {series: _joined(parts, contender.says, horizons) for series, parts in found.items()}


def newest_days(
    contender: Contender,
    candles: History,
    judged: Sequence[Series],
    horizons: Sequence[int],
    *,
    minimum: int,
    days: int = 90,
    refit_every: timedelta = timedelta(days=30),
    progress: Progress = lambda message: None,
) -> Judgements:
    """Return what a contender would have said over the newest `days`, beside what came, walking forward to the end.

    The walk starts later where fewer than `minimum` candles of the longest judged series come before it. Raises
    NotEnoughCandles when they never do.
    """
    longest = max((candles[series] for series in judged), key=len)
    if len(longest) <= minimum:
        raise NotEnoughCandles(
            f"have {len(longest)} candles to walk over, need more than {minimum}", have=len(longest), need=minimum + 1
        )
    end = max(candles[series].cutoff for series in judged if len(candles[series]))
    embargo = max(horizons) * longest.interval.delta
    start = max(end - timedelta(days=days), from_datetime64(longest.close_time[minimum - 1]) + embargo)
    splits = windows(start, end, refit_every, horizons, longest.interval)
    return walk(contender, candles, judged, horizons, splits, progress)


def _fit(
    contender: Contender, history: History, judged: Sequence[Series], horizons: Sequence[int]
) -> dict[Series, Forecaster]:
    if contender.pooled:
        return dict.fromkeys(judged, contender.fit(history, judged[0], horizons))
    return {series: contender.fit(history, series, horizons) for series in judged}


def _closed(candles: History, moment: datetime) -> History:
    return {series: those[those.close_time <= to_datetime64(moment)] for series, those in candles.items()}


def _joined(parts: Sequence[Mapping[int, Judged]], says: frozenset[str], horizons: Sequence[int]) -> dict[int, Judged]:
    return {h: Judged.concatenate([part[h] for part in parts]).only(says) for h in horizons}
