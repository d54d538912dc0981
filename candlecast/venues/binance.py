"""Binance spot klines over REST, from the public market-data host by default."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Self

import httpx

from candlecast.candles import Series, Symbol, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched
from candlecast.venues.http import Answer, HttpClient, rate_limited
from candlecast.venues.live import Columns, LiveVenue, Paging, columns, moment

_LIMIT = 1000
_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
_USUAL_WEIGHT_LIMIT = 6000  # per minute; 1200 until 2023
_LITTLE_WEIGHT = 1000  # allowed under every limit so far, so the present one need not be known below it
_KEPT_FREE = 1 / 6  # of the limit, for requests that are under way and for others behind the same address
_UNKNOWN_SYMBOL = -1121
PLACES = {
    "open_time": 0,
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "trades": 8,
    "taker_buy_volume": 9,
}
"""Where the columns of candles are in a kline."""

_BANNED_UNTIL = re.compile(r"banned until (\d+)")

Params = dict[str, str | int]


class BinanceVenue(LiveVenue):
    """Closed candles of Binance spot. `wall_now` is the local clock, `sleep` waits for the next minute's weight."""

    name = "binance"

    def __init__(
        self,
        http: HttpClient,
        wall_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(http, wall_now)
        self._sleep = sleep
        self._weighing = Lock()
        self._used_weight = 0
        self._weight_limit: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock) -> Self:
        """Return the adapter for the host that the settings name."""
        return cls(HttpClient.from_settings(settings.binance_url, settings, pause=settings.binance_pause), clock.now)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 1000 per page."""
        return Paging(self.name, partial(self._klines, series), self.now).pages(series, start, end)

    def require(self, series: Series) -> None:
        """Raise UnknownSeries unless the exchange trades the symbol; it has every interval."""
        information = self._information(series)
        try:
            status = information["symbols"][0]["status"]
        except (LookupError, TypeError):
            raise VenueUnavailable(f"{self._http.host} says nothing of {series.symbol}; try again later") from None
        if status != "TRADING":
            raise UnknownSeries(f"binance does not trade {series.symbol} now: {status}", series=str(series))

    def _time(self) -> datetime:
        return moment(self._http.host, self._get("/api/v3/time", {}, _explain), lambda answer: answer["serverTime"])

    def _klines(self, series: Series, start: datetime, end: datetime) -> Columns:
        self._make_room(series)
        params: Params = {
            "symbol": spelling(series.symbol),
            "interval": series.interval.value,
            "startTime": to_ms(start),
            "endTime": to_ms(end) - 1,  # theirs is inclusive
            "limit": _LIMIT,
        }
        rows = self._get("/api/v3/klines", params, partial(_explain, series=series))
        if not isinstance(rows, list):
            raise VenueUnavailable(f"{self._http.host} answers without candles: {str(rows)[:100]}")
        return columns(self._http.host, rows, PLACES)

    def _make_room(self, series: Series) -> None:
        """Wait for the next minute where this one's request weight, counted for our whole address, is nearly used."""
        with self._weighing:
            if self._used_weight < _LITTLE_WEIGHT:
                return
            if self._weight_limit is None:
                self._weight_limit = self._published_limit(series)
            if self._used_weight >= self._weight_limit * (1 - _KEPT_FREE):
                there = self._wall_now() + (self._skew or timedelta())
                self._sleep(60 - there.second - there.microsecond / 1e6)
                self._used_weight = 0

    def _published_limit(self, series: Series) -> int:
        try:
            limits = self._information(series)["rateLimits"]
            return next(
                int(limit["limit"] / limit["intervalNum"])
                for limit in limits
                if (limit["rateLimitType"], limit["interval"]) == ("REQUEST_WEIGHT", "MINUTE")
            )
        except (CandlecastError, LookupError, TypeError, ValueError, ArithmeticError, StopIteration):
            return _USUAL_WEIGHT_LIMIT

    def _information(self, series: Series) -> Any:
        params: Params = {"symbol": spelling(series.symbol)}
        return self._get("/api/v3/exchangeInfo", params, partial(_explain, series=series))

    def _get(self, path: str, params: Params, explain: Callable[[Answer], CandlecastError | None]) -> Any:
        answer, headers = self._http.get_json(path, params, explain)
        self._note_weight(headers)
        return answer

    def _note_weight(self, headers: httpx.Headers) -> None:
        used = headers.get(_WEIGHT_HEADER, "")
        self._used_weight = int(used) if used.isdecimal() else 0


def spelling(symbol: Symbol) -> str:
    """Return the symbol as Binance writes it."""
    return f"{symbol.base}{symbol.quote}"


def _explain(answer: Answer, series: Series | None = None) -> CandlecastError | None:
    """Turn the exchange's own error code into ours."""
    if answer.status == httpx.codes.IM_A_TEAPOT:
        return _ban(answer)
    if answer.status != httpx.codes.BAD_REQUEST:
        return None
    try:
        body = answer.json()
        code, message = int(body["code"]), str(body["msg"])
    except (VenueUnavailable, ValueError, TypeError, KeyError):
        return None
    if code == _UNKNOWN_SYMBOL and series is not None:
        return UnknownSeries(f"binance does not have {series.symbol}; check the spelling", series=str(series))
    return DataError(f"binance refuses the request for {series or 'its time'}: {message} ({code})", code=code)


def _ban(answer: Answer) -> CandlecastError | None:
    """Read the end of a ban out of its sentence, for when Retry-After is missing."""
    until = _BANNED_UNTIL.search(answer.text)
    if until is None or answer.retry_after is not None:
        return None
    return rate_limited(answer, max(0.0, int(until[1]) / 1000 - time.time()), banned=True)
