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
from candlecast.venues.base import Fetched, Sleep
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
    def from_settings(cls, settings: Settings, clock: VenueClock, *, sleep: Sleep) -> Self:
        """Return the adapter for the host that the settings name."""
        pause = settings.shared_pause(settings.coinbase_pause)
        http = HttpClient.from_settings(settings.coinbase_url, settings, pause=pause, sleep=sleep)
        return cls(http, clock.now)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 299 per page."""
        _require_interval(series)
        return Paging(self.name, partial(self._candles, series), self.now, _WINDOW).pages(series, start, end)

    def require(self, series: Series) -> None:
        """Raise UnknownSeries unless the exchange trades the symbol and has the interval."""
        _require_interval(series)
        status = self._http.get(f"/products/{series.symbol}", _status, explain=partial(_explain, series=series))
        if status != "online":
            raise UnknownSeries(f"coinbase does not trade {series.symbol} now: {status}", series=str(series))

    def _time(self) -> datetime:
        return self._http.get("/time", lambda answer: moment(answer, lambda content: 1000 * float(content["epoch"])))

    def _candles(self, series: Series, start: datetime, end: datetime) -> Columns:
        params: dict[str, str | int] = {
            "granularity": series.interval.seconds,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }
        path = f"/products/{series.symbol}/candles"
        found = self._http.get(path, _columns, params, partial(_explain, series=series))
        # There may be earlier ones, and one at the end, which say nothing about what was asked for.
        asked = (found["open_time"] >= to_ms(start)) & (found["open_time"] != to_ms(end))
        return {name: column[asked] for name, column in found.items()}


def _columns(answer: Answer) -> Columns:
    return columns(answer, answer.json(), _PLACES)


def _status(answer: Answer) -> str:
    try:
        return str(answer.json()["status"])
    except (LookupError, TypeError):
        raise VenueUnavailable(f"{answer.host} describes no product: {answer.text[:100]}") from None


def _require_interval(series: Series) -> None:
    if series.interval not in _INTERVALS:
        known = ", ".join(_INTERVALS)
        raise UnknownSeries(f"coinbase has no {series.interval} candles; it has {known}", series=str(series))


def _explain(answer: Answer, series: Series) -> CandlecastError | None:
    if answer.status != httpx.codes.NOT_FOUND:
        return None
    return UnknownSeries(f"coinbase does not have {series.symbol}; check the spelling", series=str(series))
