"""Binance spot klines over REST, from the public market-data host by default."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

import httpx

from candlecast.candles import Series, Symbol, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, RateLimited, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched
from candlecast.venues.http import HttpClient
from candlecast.venues.live import Columns, LiveVenue, Paging, columns, moment

_LIMIT = 1000
_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
_UNKNOWN_SYMBOL = -1121
_PLACES = {
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
_BANNED_UNTIL = re.compile(r"banned until (\d+)")


class BinanceVenue(LiveVenue):
    """Closed candles of Binance spot.

    `wall_now` is the local clock, `weight_budget` how much request weight per minute, counted by the
    exchange for our whole address, may be used before this adapter waits for the next minute with `sleep`.
    """

    name = "binance"

    def __init__(
        self,
        http: HttpClient,
        wall_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        weight_budget: int = 5000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(http, wall_now)
        self._weight_budget = weight_budget
        self._sleep = sleep
        self._used_weight = 0

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock) -> Self:
        """Return the adapter for the host that the settings name."""
        return cls(HttpClient.from_settings(settings.binance_url, settings), clock.now)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 1000 per page."""
        return Paging(self.name, partial(self._klines, series), self.now).pages(series, start, end)

    def require(self, series: Series) -> None:
        """Ask for one candle: the exchange names an unknown symbol then."""
        params = {"symbol": _spelling(series.symbol), "interval": series.interval.value, "limit": 1}
        self._get("/api/v3/klines", params, partial(_explain, series=series))

    def _time(self) -> datetime:
        return moment(self._http.host, self._get("/api/v3/time", {}, _explain), lambda answer: answer["serverTime"])

    def _klines(self, series: Series, start: datetime, end: datetime) -> Columns:
        params: dict[str, str | int] = {
            "symbol": _spelling(series.symbol),
            "interval": series.interval.value,
            "startTime": to_ms(start),
            "endTime": to_ms(end) - 1,  # theirs is inclusive
            "limit": _LIMIT,
        }
        rows = self._get("/api/v3/klines", params, partial(_explain, series=series))
        if not isinstance(rows, list):
            raise VenueUnavailable(f"{self._http.host} answers without candles: {str(rows)[:100]}")
        return columns(self._http.host, rows, _PLACES)

    def _get(self, path: str, params: dict[str, str | int], explain: Callable[..., CandlecastError | None]) -> Any:
        if self._used_weight >= self._weight_budget:
            there = self._wall_now() + (self._skew or timedelta())
            self._sleep(60 - there.second - there.microsecond / 1e6)
        answer, headers = self._http.get(path, params, explain)
        used = headers.get(_WEIGHT_HEADER, "")
        self._used_weight = int(used) if used.isdecimal() else 0
        return answer


def _spelling(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}"


def _explain(response: httpx.Response, series: Series | None = None) -> CandlecastError | None:
    """Turn the exchange's own error code into ours."""
    if response.status_code == httpx.codes.IM_A_TEAPOT:
        return _ban(response)
    if response.status_code != httpx.codes.BAD_REQUEST:
        return None
    try:
        body = response.json()
        code, message = int(body["code"]), str(body["msg"])
    except (ValueError, TypeError, KeyError):
        return None
    if code == _UNKNOWN_SYMBOL and series is not None:
        return UnknownSeries(f"binance does not have {series.symbol}; check the spelling", series=str(series))
    return DataError(f"binance refuses the request for {series or 'its time'}: {message} ({code})", code=code)


def _ban(response: httpx.Response) -> CandlecastError | None:
    """Read the end of a ban out of its sentence, for when Retry-After is missing."""
    until = _BANNED_UNTIL.search(response.text)
    if until is None or "Retry-After" in response.headers:
        return None
    wait = max(0.0, int(until[1]) / 1000 - time.time())
    return RateLimited(f"binance bans this address for too many requests, for {wait:.0f} s", wait, banned=True)
