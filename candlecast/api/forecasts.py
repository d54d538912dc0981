"""The newest forecasts, and what led to them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from candlecast.api.shape import Shape

Status = Literal["ok", "baseline", "abstained"]


class Bounds(Shape):
    """A central interval of the close."""

    lower: float
    upper: float


class Point(Shape):
    """The predicted candle; open, high, low and range are null where the forecaster does not give them."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float
    range: float | None = None


class Skill(Shape):
    """How much smaller the mean absolute error was than that of "no change": 1 - MAE / MAE of no change."""

    scored: int
    """Forecasts whose realised close is known."""
    minimum: int
    """Fewer scored than this is too early to judge; then the figures are null."""
    skill: float | None = None
    lower: float | None = None
    """Lower end of the 95 % confidence interval."""
    upper: float | None = None
    verdict: Literal["too_early", "better", "worse", "not_distinguishable"]


class BaselineForecast(Shape):
    """What the naive forecaster said at the same cutoff."""

    model_version: str
    close: float
    intervals: dict[str, Bounds]


class LatestForecast(Shape):
    """The newest forecast of one series and horizon, or the reason why there is none."""

    series: str
    horizon: int
    status: Status
    """`ok`; `baseline` (no champion yet, the naive forecaster answers); `abstained` (see `reason`)."""
    reason: str | None = None
    """Why there is no forecast: `no_candles`, `not_enough_candles`, `gap_in_window`, `stale` or `too_late`."""
    detail: str | None = None
    """The reason as a sentence."""
    stale: bool = False
    """The database cannot be reached, or the target time is past by an interval: this is what was last known."""
    simulated: bool
    """The candles come from a seeded random market, not from an exchange."""
    now: datetime
    """The venue's clock when this answer was made ready."""
    clock_speed: float
    """Venue seconds per wall second; 1 for live venues."""
    cutoff: datetime | None = None
    target_time: datetime | None = None
    issued_at: datetime | None = None
    last_close: float | None = None
    point: Point | None = None
    p_up: float | None = None
    quantiles: dict[str, float] | None = None
    """Quantiles of the close by probability level."""
    intervals: dict[str, Bounds] | None = None
    """Central intervals of the close by per cent: `80` and `95`."""
    model_version: str | None = None
    baseline: BaselineForecast | None = None
    live_skill: Skill | None = None
    """Over the 30 days that end with the newest candle, against the baseline's own forecasts."""


class LatestForecasts(Shape):
    """The newest forecasts that were asked for."""

    forecasts: list[LatestForecast]


class Contribution(Shape):
    """What one feature adds to the logit of the probability of a rise."""

    feature: str
    words: str
    """What the feature measures."""
    value: float | None
    """The feature's value, free of the price's scale; null where it was not known."""
    logit: float
    """Above 0 it speaks for a rise, below 0 for a fall."""


class Explanation(Shape):
    """What led to the newest forecast of one series and horizon."""

    series: str
    horizon: int
    status: Status
    reason: str | None = None
    detail: str | None = None
    cutoff: datetime | None = None
    target_time: datetime | None = None
    model_version: str | None = None
    p_up: float | None = None
    """As the ledger has it; null from the baseline, which has no opinion."""
    start: float | None = None
    """The logit without any feature: it and all contributions add up to the logit of `p_up`."""
    contributions: list[Contribution] = []
    """Those that are not 0, the largest first."""
    reproduced: bool | None = None
    """Whether what is known now gives exactly what was written down; candles that came later may change it."""
    summary: list[str] = []
    """The same in sentences."""
