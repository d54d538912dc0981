"""The newest candles of every active series, kept in memory and brought up to date by one statement for all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from candlecast.candles import Candles, Interval, Series, Symbol, to_datetime64
from candlecast.features import WINDOW
from candlecast.market import KnownCandles, neighbours
from candlecast.store import candles as candle_store
from candlecast.store.news import Seen, read_news


class Windows:
    """What a forecast may read of every series. `catch_up` is called by one thread; anybody may read."""

    def __init__(self) -> None:
        self._ids: dict[Series, int] = {}
        self._seen: dict[Series, Seen] = {}

    def catch_up(self, connection: Connection, active: Sequence[Series]) -> set[Series]:
        """Read what is new of the active series, forget all others, and return those whose window has changed."""
        if not self._ids.keys() >= set(active):
            self._ids = candle_store.series_ids(connection)
        seen = {series: self._seen.get(series) or Seen.nothing(series.interval) for series in active}
        named = {self._ids[series]: series for series in active}
        news = read_news(connection, {number: seen[series] for number, series in named.items()}, WINDOW)
        fresh = {named[number]: one for number, one in news.items()}
        # A new dictionary: whoever reads the old one is not disturbed.
        self._seen = seen | fresh
        return set(fresh)

    def of(self, series: Series) -> Candles:
        """Return the newest candles of a series, none for one that is not active."""
        seen = self._seen.get(series)
        return seen.candles if seen else Candles.empty(series.interval)

    def newest(self, series: Series) -> datetime | None:
        """Return when the newest candle of a series closed."""
        candles = self.of(series)
        return candles.cutoff if len(candles) else None

    def of_kind(self, venue: str, interval: Interval) -> list[Series]:
        """Return the active series of a venue and interval."""
        return [series for series in self._seen if (series.venue, series.interval) == (venue, interval)]

    def beside(self, series: Series, symbols: Collection[str]) -> list[Series]:
        """Return the active series that a model of these symbols looks at beside `series`."""
        names = [series.symbol, *map(Symbol.parse, symbols)]
        among = {Series(series.venue, symbol, interval) for symbol in names for interval in Interval}
        return neighbours(series, among & self._seen.keys())

    def around(self, series: Series, symbols: Collection[str]) -> KnownCandles:
        """Return the newest candles of what `beside` returns."""
        return {one: self.of(one) for one in self.beside(series, symbols)}

    def before(self, series: Series, moment: datetime) -> Candles | None:
        """Return the newest candles with open_time < `moment`; None where only the store knows all of them."""
        candles = self.of(series)
        before = candles[candles.open_time < to_datetime64(moment)]
        return before if len(before) == len(candles) or len(candles) < WINDOW else None
