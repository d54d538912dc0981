"""Binance spot klines over REST, from the public market-data host by default."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Series, from_ms, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, RateLimited, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched
from candlecast.venues.http import HttpClient

_LIMIT = 1000
_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
_UNKNOWN_SYMBOL = -1121
_FIRST_MICROSECONDS = 10**15  # as milliseconds the year 33658, as microseconds 2001
_FLOATS = {
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


class BinanceVenue:
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
        self._http = http
        self._wall_now = wall_now
        self._weight_budget = weight_budget
        self._sleep = sleep
        self._used_weight = 0
        self._offset: timedelta | None = None

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock) -> Self:
        """Return the adapter for the host that the settings name."""
        return cls(HttpClient.from_settings(settings.binance_url, settings), clock.now)

    def offset(self) -> timedelta:
        """Return the exchange's clock minus ours, measured once; too small by the answer's way back, never too large.

        So `now` is never ahead of the exchange, and no candle counts as closed before it is.
        """
        if self._offset is None:
            answer = self._get("/api/v3/time", {}, _explain)
            try:
                server = from_ms(_milliseconds(np.array([answer["serverTime"]], dtype=np.int64))[0])
            except (KeyError, TypeError, ValueError, OverflowError):
                raise VenueUnavailable(f"{self._http.host} does not tell its time: {str(answer)[:100]}") from None
            self._offset = server - self._wall_now()
        return self._offset

    def now(self) -> datetime:
        """Return the exchange's time."""
        offset = self.offset()
        return self._wall_now() + offset

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, up to 1000 per page."""
        if series.venue != self.name:
            raise UnknownSeries(f"binance has no {series}; that is another venue's", series=str(series))
        cursor = start
        while cursor < end:
            # Before the request: a candle that closes while the answer travels is still partial in it.
            now = self.now()
            if cursor + series.interval.delta > now:
                return
            rows = self._klines(series, cursor, end)
            if not rows:
                return
            columns = _columns(self._http.host, rows)
            newest = from_ms(int(columns["open_time"].max()))
            if newest < cursor:
                raise VenueUnavailable(f"{self._http.host} does not get past {newest} for {series}; try again later")
            page = self._page(series, columns, now, start=cursor, end=end)
            if len(page.candles) or page.refused:
                yield page
            cursor = newest + series.interval.delta

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _klines(self, series: Series, start: datetime, end: datetime) -> list[Any]:
        params: dict[str, str | int] = {
            "symbol": f"{series.symbol.base}{series.symbol.quote}",
            "interval": series.interval.value,
            "startTime": to_ms(start),
            "endTime": to_ms(end) - 1,  # theirs is inclusive
            "limit": _LIMIT,
        }
        rows = self._get("/api/v3/klines", params, partial(_explain, series=series))
        if not isinstance(rows, list):
            raise VenueUnavailable(f"{self._http.host} answers without candles: {str(rows)[:100]}")
        return rows

    def _page(
        self, series: Series, columns: dict[str, NDArray[Any]], now: datetime, *, start: datetime, end: datetime
    ) -> Fetched:
        closes = columns["open_time"] + series.interval.milliseconds
        closed = {name: column[closes <= to_ms(now)] for name, column in columns.items()}
        candles, refused = Candles.screen(series.interval, **closed)
        return Fetched(candles.between(start, end), tuple(refused), self._http.host)

    def _get(self, path: str, params: dict[str, str | int], explain: Callable[..., CandlecastError | None]) -> Any:
        if self._used_weight >= self._weight_budget:
            moment = self._wall_now() + (self._offset or timedelta())
            self._sleep(60 - moment.second - moment.microsecond / 1e6)
        answer, headers = self._http.get(path, params, explain)
        used = headers.get(_WEIGHT_HEADER, "")
        self._used_weight = int(used) if used.isdecimal() else 0
        return answer


def _columns(host: str, rows: list[Any]) -> dict[str, NDArray[Any]]:
    try:
        opened = np.array([row[0] for row in rows], dtype=np.int64)
        numbers = {name: np.array([float(row[at]) for row in rows]) for name, at in _FLOATS.items()}
    except (TypeError, ValueError, LookupError, OverflowError):
        raise VenueUnavailable(f"{host} answers with rows that are no candles: {str(rows[:1])[:100]}") from None
    return {"open_time": _milliseconds(opened), **numbers}


def _milliseconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(times >= _FIRST_MICROSECONDS, times // 1000, times)


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
