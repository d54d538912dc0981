"""What a model version would have said before it was there, so that a chart has marked history from the first hour.

Twins walk forward over the newest days, each fitted on what had closed before its window. Where too little comes
before, the version itself speaks, although it has learned what came: such rows are marked, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from candlecast.candles import Candles, Series, from_datetime64
from candlecast.errors import NotEnoughCandles
from candlecast.evaluation import Judged, judge
from candlecast.market import NOTHING, KnownCandles
from candlecast.walk import Contender, Judgements, newest_days
from candlecast.xgb import XGBForecaster
from training.own import ours

DAYS = 90
"""How far back a version looks."""


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Forecasts of one series by horizon, and whether who made them had learned from what came."""

    series: Series
    judged: Mapping[int, Judged]
    in_sample: bool


def look_back(
    forecaster: XGBForecaster,
    candles: Mapping[Series, Candles],
    *,
    seed: int,
    threads: int,
    minimum: int,
    known: KnownCandles = NOTHING,
) -> list[Hindsight]:
    """Return the hindsight of a version that was fitted on `candles` and on what of `known` belongs to them.

    The walk begins where `minimum` candles of the longest series come before it; `seed` and `threads` are those of the
    version.
    """
    told = {**known, **candles}
    contender = ours(seed, threads, forecaster.manifest["tuned"])
    walked = _walk(contender, told, list(candles), forecaster.horizons, minimum)
    end = max(those.cutoff for those in candles.values())
    first = min((from_datetime64(one.cutoff[0]) for one in _filled(walked)), default=end)
    found = []
    for series, those in candles.items():
        before = judge(forecaster, series, those, end - timedelta(days=DAYS), first, told)
        found += [Hindsight(series, before, True), Hindsight(series, walked.get(series, {}), False)]
    return found


def _walk(
    contender: Contender, told: KnownCandles, series: Sequence[Series], horizons: Sequence[int], minimum: int
) -> Judgements:
    try:
        return newest_days(contender, told, series, horizons, minimum=minimum, days=DAYS)
    except NotEnoughCandles:
        return {}


def _filled(walked: Judgements) -> list[Judged]:
    return [one for by_horizon in walked.values() for one in by_horizon.values() if len(one)]
