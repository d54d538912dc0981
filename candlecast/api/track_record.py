"""What was forecast, and how it did."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from candlecast.api.forecasts import Bounds
from candlecast.api.shape import Shape

Origin = Literal["live", "out_of_sample", "in_sample"]


class LedgerRow(Shape):
    """One forecast with what came, where that is known. Only those of `origin` live are a track record."""

    series: str
    horizon: int
    model_version: str
    role: Literal["champion", "challenger", "baseline"] | None
    """In which role it was said; null where it was not said live."""
    origin: Origin = "live"
    """`live`: written into the ledger before the target; `out_of_sample`: what a model that was fitted before the
    cutoff would have said; `in_sample`: the same by a model that had learned from what came."""
    cutoff: datetime
    target_time: datetime
    issued_at: datetime | None
    """When it was said, by the venue's clock; null where it was not said live."""
    last_close: float
    open: float | None = None
    """With high and low the rest of the predicted candle, where the forecaster gave one."""
    high: float | None = None
    low: float | None = None
    close: float
    p_up: float | None
    intervals: dict[str, Bounds]
    realised_close: float | None
    error: float | None
    """close - realised_close"""


class LedgerRows(Shape):
    """Forecasts with what came, oldest cutoff first."""

    forecasts: list[LedgerRow]
    next_end: datetime | None = None
    """Ask again with this as `end` for those before; null where there are none."""


class LiveScore(Shape):
    """One score of what was said live."""

    value: float | None
    """Null where nothing was scored, or the score is not defined."""
    lower: float | None
    """Lower end of the 95 % confidence interval; null with fewer than `minimum` forecasts."""
    upper: float | None
    count: int
    """How many forecasts it is about."""


class LiveWindow(Shape):
    """Scores of the champion's forecasts whose target lies in start < target_time <= end."""

    window: str
    """`1h`, `24h`, `7d` or `30d`"""
    start: datetime
    end: datetime
    """Close time of the newest candle."""
    scores: dict[str, LiveScore]
    """`mae` and `pinball` in the quote currency; `mape`, `coverage_80`, `coverage_95`, `accuracy` as shares; `brier`;
    `skill` and `pinball_skill`, which are 1 - the ratio to the baseline's own forecasts at the same cutoffs."""


class LiveScores(Shape):
    """How the forecasts of one series and horizon have done since they were written down."""

    series: str
    horizon: int
    minimum: int
    """With fewer forecasts a score has no confidence interval."""
    windows: list[LiveWindow]
