"""Kraken's candles over REST: only the newest 720, and failures inside answers of status 200."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

from candlecast.candles import Series, Symbol, from_ms, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched, Sleep
from candlecast.venues.http import Answer, HttpClient, rate_limited
from candlecast.venues.live import Columns, LiveVenue, columns, moment, page

T = TypeVar("T")

_SPELLINGS = {"BTC": "XBT", "DOGE": "XDG"}
_PLACES = {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 6, "trades": 7}
_UNKNOWN_PAIR = "EQuery:Unknown asset pair"
_TOO_MANY = ("EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EGeneral:Temporary lockout")
_PASSING = ("EService:", "EGeneral:Internal error")


class KrakenVenue(LiveVenue):
    """Closed candles of Kraken. Its answer ends with the candle that is still open, and begins 720 before that."""

    name = "kraken"

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock, *, sleep: Sleep) -> Self:
        """Return the adapter for the host that the settings name."""
        pause = settings.shared_pause(settings.kraken_pause)
        http = HttpClient.from_settings(settings.kraken_url, settings, pause=pause, sleep=sleep)
        return cls(http, clock.now)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, as far back as there are any: one page or none."""
        now = self.now()
        if start >= end or start + series.interval.delta > now:
            return
        rows = self._ohlc(series, start)
        times = rows["open_time"]
        if len(times) == 0:
            return
        start, end = max(start, from_ms(times.min())), min(end, from_ms(times.max()), series.interval.floor(now))
        if start < end:
            yield page(self.name, series, rows, start, end)

    def require(self, series: Series) -> None:
        """Raise UnknownSeries unless the exchange trades the symbol; it has every interval."""
        status = self._get("/0/public/AssetPairs", _status, {"pair": _spelling(series.symbol)}, series)
        if status != "online":
            raise UnknownSeries(f"kraken does not trade {series.symbol} now: {status}", series=str(series))

    def _time(self) -> datetime:
        return self._get("/0/public/Time", lambda answer: moment(answer, lambda content: content["result"]["unixtime"]))

    def _ohlc(self, series: Series, start: datetime) -> Columns:
        params: dict[str, str | int] = {
            "pair": _spelling(series.symbol),
            "interval": series.interval.seconds // 60,
            "since": to_ms(start - series.interval.delta) // 1000,
        }
        return self._get("/0/public/OHLC", lambda answer: columns(answer, _of_pair(answer), _PLACES), params, series)

    def _get(
        self,
        path: str,
        read: Callable[[Answer], T],
        params: dict[str, str | int] | None = None,
        series: Series | None = None,
    ) -> T:
        return self._http.get(path, read, params, partial(_explain, series=series))


def _of_pair(answer: Answer) -> Any:
    """Return what the answer holds about its only pair, whose key need not be spelt as we spelt it."""
    try:
        return next(content for key, content in answer.json()["result"].items() if key != "last")
    except (LookupError, TypeError, AttributeError, StopIteration):
        raise VenueUnavailable(f"{answer.host} answers without a result: {answer.text[:100]}") from None


def _status(answer: Answer) -> str:
    pair = _of_pair(answer)
    return str(pair.get("status", "online")) if isinstance(pair, dict) else "missing"


def _spelling(symbol: Symbol) -> str:
    return "".join(_SPELLINGS.get(asset, asset) for asset in (symbol.base, symbol.quote))


def _explain(answer: Answer, series: Series | None) -> CandlecastError | None:
    """Turn the first of the exchange's own errors into ours; it comes with any status."""
    try:
        errors = answer.json()["error"]
        error = str(errors[0]) if errors else ""
    except (VenueUnavailable, LookupError, TypeError):
        return None
    if not error:
        return None
    if error == _UNKNOWN_PAIR and series is not None:
        return UnknownSeries(f"kraken does not have {series.symbol}; check the spelling", series=str(series))
    if error in _TOO_MANY:
        return rate_limited(answer, answer.retry_after, banned=False)
    if error.startswith(_PASSING):
        return VenueUnavailable(f"kraken cannot answer now: {error}")
    return DataError(f"kraken refuses the request for {series or 'its time'}: {error}")
