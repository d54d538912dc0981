"""Binance spot klines over REST, from the public market-data host by default."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Self, TypeVar

import httpx

from candlecast.candles import Series, Symbol, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched, Sleep
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

_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b")

Params = dict[str, str | int]
T = TypeVar("T")


class BinanceVenue(LiveVenue):
    """Closed candles of Binance spot. `wall_now` is the local clock, `sleep` waits for the next minute's weight."""

    name = "binance"

    def __init__(
        self,
        http: HttpClient,
        wall_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        sleep: Sleep = time.sleep,
    ) -> None:
        super().__init__(http, wall_now)
        self._sleep = sleep
        self._weighing = Lock()
        self._used_weight = 0.0
        self._weight_limit: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock, *, sleep: Sleep) -> Self:
        """Return the adapter for the host that the settings name."""
        pause = settings.shared_pause(settings.binance_pause)
        http = HttpClient.from_settings(settings.binance_url, settings, pause=pause, sleep=sleep)
        return cls(http, clock.now, sleep=sleep)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 1000 per page."""
        return Paging(self.name, partial(self._klines, series), self.now).pages(series, start, end)

    def require(self, series: Series) -> None:
        """Raise UnknownSeries unless the exchange trades the symbol; it has every interval."""
        status = self._information(series, _status)
        if status != "TRADING":
            raise UnknownSeries(f"binance does not trade {series.symbol} now: {status}", series=str(series))

    def _time(self) -> datetime:
        return self._get("/api/v3/time", lambda answer: moment(answer, lambda content: content["serverTime"]), {})

    def _klines(self, series: Series, start: datetime, end: datetime) -> Columns:
        self._make_room(series)
        params: Params = {
            "symbol": spelling(series.symbol),
            "interval": series.interval.value,
            "startTime": to_ms(start),
            "endTime": to_ms(end) - 1,  # theirs is inclusive
            "limit": _LIMIT,
        }
        return self._get("/api/v3/klines", lambda answer: columns(answer, answer.json(), PLACES), params, series)

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
            return self._information(series, _weight_limit)
        except CandlecastError:
            return _USUAL_WEIGHT_LIMIT

    def _information(self, series: Series, read: Callable[[Answer], T]) -> T:
        return self._get("/api/v3/exchangeInfo", read, {"symbol": spelling(series.symbol)}, series)

    def _get(self, path: str, read: Callable[[Answer], T], params: Params, series: Series | None = None) -> T:
        def weigh_and_read(answer: Answer) -> T:
            used = answer.headers.get(_WEIGHT_HEADER, "")
            self._used_weight = float(used) if used.isdecimal() else 0
            return read(answer)

        return self._http.get(path, weigh_and_read, params, partial(_explain, series=series))


def _status(answer: Answer) -> str:
    try:
        return str(answer.json()["symbols"][0]["status"])
    except (LookupError, TypeError):
        raise VenueUnavailable(f"{answer.host} describes no symbol: {answer.text[:100]}") from None


def _weight_limit(answer: Answer) -> int:
    """Return the request weight that one minute may hold, the usual one where the answer does not say."""
    try:
        limits = [
            int(limit["limit"] / limit["intervalNum"])
            for limit in answer.json()["rateLimits"]
            if (limit["rateLimitType"], limit["interval"]) == ("REQUEST_WEIGHT", "MINUTE")
        ]
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return _USUAL_WEIGHT_LIMIT
    return min((limit for limit in limits if limit > 0), default=_USUAL_WEIGHT_LIMIT)


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
