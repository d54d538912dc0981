"""The newest candles of every series, read from the store once per look at it."""

from __future__ import annotations

from collections.abc import Iterable

from candlecast.candles import Candles, Series
from candlecast.features import WINDOW
from candlecast.market import KnownCandles, neighbours
from candlecast.store import candles as candle_store
from candlecast.store.database import Database


class Windows:
    """What a forecast may read of every series at one moment; a new look needs a new value."""

    def __init__(self, database: Database, series: Iterable[Series]) -> None:
        self._database = database
        self._series = tuple(series)
        self._read: dict[Series, Candles] = {}

    def of(self, series: Series) -> Candles:
        """Return the newest candles of a series."""
        if series not in self._read:
            with self._database.begin() as connection:
                self._read[series] = candle_store.read_last(connection, series, WINDOW)
        return self._read[series]

    def around(self, series: Series) -> KnownCandles:
        """Return the newest candles of the series that belong to its market."""
        return {beside: self.of(beside) for beside in neighbours(series, self._series)}
