"""A caller's own candles, and the forecasts of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import FailFast, Field

from candlecast.api.forecasts import Bounds, Point
from candlecast.api.shape import Numbers, SeriesName, Shape, WholeNumber

Calendar = Literal["24/7", "weekdays"]


class CallerCandles(Shape):
    """Columns of equal length, oldest first."""

    open_time: Annotated[list[WholeNumber], FailFast()]
    """Open times in epoch milliseconds, UTC."""
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers


class ForecastOptions(Shape):
    """What to forecast from a caller's own candles."""

    interval: str = Field(max_length=10)
    """Such as `15m`."""
    series: SeriesName | None = None
    """Whose candles they are, where that is known: `binance:BTC-USDT:15m`. The model may know the symbol."""
    horizons: list[Annotated[WholeNumber, Field(ge=1)]] | None = Field(default=None, min_length=1, max_length=100)
    """Horizons to forecast; all that are configured when left out."""
    last: WholeNumber = Field(default=1, ge=1, le=5000)
    """Forecast from each of the last N cutoffs."""
    calendar: Calendar = "24/7"
    """`weekdays`, for daily candles: a missing day is one on which the market was closed, not a gap."""


class ForecastRequest(ForecastOptions):
    """A caller's own candles."""

    candles: CallerCandles


class ComputedForecast(Shape):
    """A forecast of a caller's own candles. It is not written into the ledger."""

    horizon: int
    status: Literal["ok", "baseline"]
    cutoff: datetime
    target_time: datetime
    last_close: float
    point: Point
    p_up: float | None
    quantiles: dict[str, float]
    intervals: dict[str, Bounds]
    model_version: str


class ComputedForecasts(Shape):
    """Forecasts of a caller's own candles, oldest cutoff first."""

    interval: str
    series: str | None
    market: bool = False
    """Whether the model saw, beside the newest of these candles, what the service has stored of the same moment: the
    other symbols, and the shorter candles inside. Only where `series` names one that the service serves."""
    forecasts: list[ComputedForecast]
