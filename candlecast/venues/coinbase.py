"""Coinbase Exchange's candles over REST."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Self

import httpx

from candlecast.candles import Interval, Series, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched
from candlecast.venues.http import Answer, HttpClient
from candlecast.venues.live import Columns, LiveVenue, Paging, columns, moment

# They take 300 and leave open whether the end counts; one less is right either way.
_WINDOW = 299
_INTERVALS = (Interval.M1, Interval.M5, Interval.M15, Interval.H1, Interval.D1)
_PLACES = {"open_time": 0, "low": 1, "high": 2, "open": 3, "close": 4, "volume": 5}


class CoinbaseVenue(LiveVenue):
    """Closed candles of Coinbase Exchange, which has no candle for an interval without trades."""

    name = "coinbase"

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock) -> Self:
        """Return the adapter for the host that the settings name."""
        return cls(HttpClient.from_settings(settings.coinbase_url, settings, pause=settings.coinbase_pause), clock.now)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 299 per page."""
        _require_interval(series)
        return Paging(self.name, partial(self._candles, series), self.now, _WINDOW).pages(series, start, end)

    def require(self, series: Series) -> None:
        """Raise UnknownSeries unless the exchange trades the symbol and has the interval."""
        _require_interval(series)
        product, _ = self._http.get_json(f"/products/{series.symbol}", explain=partial(_explain, series=series))
        if not isinstance(product, dict) or product.get("status") != "online":
            raise UnknownSeries(f"coinbase does not trade {series.symbol} now", series=str(series))

    def _time(self) -> datetime:
        answer, _ = self._http.get_json("/time")
        return moment(self._http.host, answer, lambda answer: 1000 * float(answer["epoch"]))

    def _candles(self, series: Series, start: datetime, end: datetime) -> Columns:
        params: dict[str, str | int] = {
            "granularity": series.interval.seconds,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }
        path = f"/products/{series.symbol}/candles"
        rows, _ = self._http.get_json(path, params, partial(_explain, series=series))
        if not isinstance(rows, list):
            raise VenueUnavailable(f"{self._http.host} answers without candles: {str(rows)[:100]}")
        found = columns(self._http.host, rows, _PLACES)
        asked = found["open_time"] >= to_ms(start)  # there may be earlier ones, which say nothing
        return {name: column[asked] for name, column in found.items()}


def _require_interval(series: Series) -> None:
    if series.interval not in _INTERVALS:
        known = ", ".join(_INTERVALS)
        raise UnknownSeries(f"coinbase has no {series.interval} candles; it has {known}", series=str(series))


def _explain(answer: Answer, series: Series) -> CandlecastError | None:
    if answer.status != httpx.codes.NOT_FOUND:
        return None
    return UnknownSeries(f"coinbase does not have {series.symbol}; check the spelling", series=str(series))
