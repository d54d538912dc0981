"""What ingestion asks of the places that give candles and prices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from candlecast.candles import Candles, Price, Refusal, Series, Symbol

Sleep = Callable[[float], None]
"""Waits that many seconds; raises an error of its own to end whatever waits."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page: the candles that hold together, the rows that do not, and the range that the source answered for.

    Of start <= open_time < end, what is neither in `candles` nor refused is what the source does not have. Where
    the two are equal the page says nothing about what is missing. `row` of a refusal counts within the page;
    `source` is the source's name.
    """

    candles: Candles
    refused: tuple[Refusal, ...]
    source: str
    start: datetime
    end: datetime


class Source(Protocol):
    """One place that gives closed candles. Several series may be fetched at once, each by a thread of its own."""

    @property
    def name(self) -> str:
        """The source's word in `candle.source`, such as `binance` or `binance_archive`."""
        ...

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield pages, oldest first, of the closed candles with start <= open_time < end.

        Only the series' symbol and interval count, so that an exchange can stand in for another one that trades
        the same pair; the simulated venue and the replay stand in for nobody. What the pages answer for may have
        holes and may end early, but never reaches beyond what was asked for, nor beyond what has closed.
        Errors come while iterating: UnknownSeries when the source does not have the series, a TemporaryError when
        it cannot be asked now, any other DataError when what it holds is wrong.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Venue(Source, Protocol):
    """A source with the clock that its candles are closed by; its name is the venue's word in a series."""

    def now(self) -> datetime:
        """Return the venue's time, aware UTC; never ahead of what the venue's own clock shows."""
        ...

    def skew(self) -> timedelta:
        """Return the venue's clock minus this machine's, as measured; zero where they are the same clock."""
        ...

    def require(self, series: Series) -> None:
        """Raise UnknownSeries, which names the way out, unless the venue trades the symbol and has the interval."""
        ...


class Archive(Source, Protocol):
    """The files in which a venue publishes its past."""

    def replaced(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the pages again of those files about start <= open_time < end that changed since they were read."""
        ...


class Remembered(Protocol):
    """The digests of an archive's files as they were read. Several threads may ask at once."""

    def digest(self, name: str) -> str | None:
        """Return the SHA-256, in hex, of the file as it was read last; None for one that never was."""
        ...

    def remember(self, name: str, digest: str) -> None:
        """Note that the file with this digest was verified, and that all pages asked of it were taken."""
        ...


class PriceSource(Protocol):
    """A place that gives last prices: a cross-check of the candles, never one of them."""

    @property
    def name(self) -> str:
        """The source's word in `last_price.source`."""
        ...

    def latest(self, symbols: Sequence[Symbol]) -> list[Price]:
        """Return a price for each symbol that the source knows; raise a TemporaryError when it cannot be asked now.

        A price in US dollars stands in for one in a token that is worth a dollar, and says so: asked for BTC-USDT,
        the answer is about BTC-USD.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
