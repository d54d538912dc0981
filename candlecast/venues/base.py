"""What every venue's adapter offers to ingestion."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from candlecast.candles import Candles, Refusal, Series


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page: the candles that hold together, the rows that do not, and where they came from.

    `row` of a refusal counts from the start of the page as the venue gave it.
    """

    candles: Candles
    refused: tuple[Refusal, ...]
    source: str


class Venue(Protocol):
    """A source of closed candles and of the clock they are closed by."""

    @property
    def name(self) -> str:
        """The venue's word in a series, such as `binance`."""
        ...

    def now(self) -> datetime:
        """Return the venue's time, aware UTC; never ahead of what the venue's own clock shows."""
        ...

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield pages, oldest first, of the closed candles with start <= open_time < end.

        Errors come while iterating: UnknownSeries when the venue does not have the series, a
        TemporaryError when the venue cannot be asked now.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
