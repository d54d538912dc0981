"""What is stored: candles, how complete they are, and prices to check them by."""

from __future__ import annotations

from datetime import date, datetime

from candlecast.api.shape import Shape


class CandleColumns(Shape):
    """Candles as columns of equal length, oldest first; open times in epoch milliseconds, UTC."""

    series: str
    interval: str
    open_time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    gaps: int
    """How many candles are missing between the first and the last."""
    next_end: datetime | None = None
    """Ask again with this as `end` for those before; null where there are none."""


class DayCoverage(Shape):
    """The candles of one UTC day."""

    day: date
    expected: int
    stored: int
    confirmed: int
    """Missing at the venue itself, as it said when asked."""
    missing: int
    """Neither stored nor known to be missing at the venue."""


class Coverage(Shape):
    """How complete a series is with start <= open_time < end: in all, and on every day."""

    series: str
    start: datetime
    end: datetime
    expected: int
    stored: int
    confirmed: int
    missing: int
    completeness: float | None
    """Stored candles divided by those that the venue has; null where it has none."""
    days: list[DayCoverage]


class LatestPrice(Shape):
    """What a source that gives no candles last said a symbol costs: a cross-check, never a training candle."""

    symbol: str
    price: float
    source: str
    priced_at: datetime
    age_seconds: float
    disagrees: bool | None
    """Whether it was far from the newest close; null where no close was of about the same time."""
    disagreements: int
    """How many prices of this source have been far from the close so far."""


class LatestPrices(Shape):
    """The newest price of every symbol and source."""

    prices: list[LatestPrice]


class SeriesState(Shape):
    """One series that is configured or stored, and how fresh it is."""

    series: str
    venue: str
    symbol: str
    interval: str
    configured: bool
    simulated: bool
    candles: int
    first_open_time: datetime | None
    last_close_time: datetime | None
    age_seconds: float | None
    """The venue's now minus the close time of the newest candle."""
    fresh: bool
    """The newest candle closed less than three intervals ago."""
    champion: str | None


class SeriesList(Shape):
    """All series: those that are configured first, in the order of the settings."""

    series: list[SeriesState]
    horizons: list[int]
