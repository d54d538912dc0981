"""What the adapters of live exchanges share: their clock, their rows, and pages that say what they cover."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Series, from_ms, to_ms
from candlecast.errors import VenueUnavailable
from candlecast.venues.base import Fetched
from candlecast.venues.http import Answer, HttpClient

Columns = dict[str, NDArray[Any]]
"""The columns of candles as they were answered: `open_time` in epoch milliseconds, rows in any order."""

Ask = Callable[[datetime, datetime], Columns]
"""One request for the candles with start <= open_time < end; its answer may hold others too."""

_SETTLED = timedelta(minutes=5)  # an exchange may take a moment to publish a candle, so a fresh hole proves nothing

_FIRST_MILLISECONDS = 10**11  # as seconds the year 5138, as milliseconds 1973
_FIRST_MICROSECONDS = 10**14
_FIRST_NANOSECONDS = 10**17


class LiveVenue(ABC):
    """An exchange with a clock. `wall_now` is the local clock."""

    name: ClassVar[str]

    def __init__(self, http: HttpClient, wall_now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._http = http
        self._wall_now = wall_now
        self._skew: timedelta | None = None
        self._measuring = Lock()

    def now(self) -> datetime:
        """Return the exchange's time."""
        skew = self.skew()
        return self._wall_now() + skew

    def skew(self) -> timedelta:
        """Return the exchange's clock minus ours, measured once; too small by the answer's way back, never too large.

        So `now` is never ahead of the exchange, and no candle counts as closed before it is.
        """
        with self._measuring:
            if self._skew is None:
                self._skew = self._time() - self._wall_now()
            return self._skew

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @abstractmethod
    def _time(self) -> datetime:
        """Ask the exchange what time it is."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Ask an exchange for a range, as many requests as it takes, and say what each answer covers.

    `window` is how many candles an answer covers whatever it holds; without it the exchange answers from the
    start on with as many as it likes, and only as far as its newest row reaches is known.
    """

    source: str
    ask: Ask
    now: Callable[[], datetime]
    window: int | None = None

    def pages(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, a request's worth per page."""
        step = series.interval.delta
        while start < end:
            # Before the request: a candle that closes while the answer travels is still partial in it.
            now = self.now()
            if start + step > now:
                return
            stop = end if self.window is None else min(end, start + self.window * step)
            rows = self._rows(start, stop)
            reached = self._reached(series, rows["open_time"], now, start, stop)
            if reached <= start:
                return
            yield page(self.source, series, rows, start, reached)
            start = reached

    def _rows(self, start: datetime, stop: datetime) -> Columns:
        """Return what the exchange has; that it has nothing is believed when it says so twice."""
        for _ in range(2):
            rows = self.ask(start, stop)
            inside = _between(rows, start, stop)
            if len(inside["open_time"]):
                return inside
        if len(rows["open_time"]):
            raise VenueUnavailable(f"{self.source} answers for other times than {start} to {stop}; try again later")
        return inside

    def _reached(
        self, series: Series, times: NDArray[np.int64], now: datetime, start: datetime, stop: datetime
    ) -> datetime:
        floor = series.interval.floor  # a row off the grid will be refused, but may be the newest
        closes = times + series.interval.milliseconds
        covered = from_ms(closes.max()) if self.window is None and len(times) else stop
        covered = floor(min(covered, now - _SETTLED))
        closed = closes[closes <= to_ms(now)]
        newest = floor(from_ms(closed.max())) if len(closed) else start
        return min(stop, max(newest, covered))


def page(source: str, series: Series, rows: Columns, start: datetime, end: datetime) -> Fetched:
    """Return the page about start <= open_time < end that the rows make; everything before `end` has closed."""
    candles, refused = Candles.screen(series.interval, **_between(rows, start, end))
    return Fetched(candles, tuple(refused), source, start, end)


def _between(rows: Columns, start: datetime, end: datetime) -> Columns:
    inside = (rows["open_time"] >= to_ms(start)) & (rows["open_time"] < to_ms(end))
    return {name: column[inside] for name, column in rows.items()}


def columns(answer: Answer, rows: Any, places: Mapping[str, int]) -> Columns:
    """Return an answer's rows as columns, each from its place in a row; raise VenueUnavailable for no candles."""
    if not isinstance(rows, list):
        raise VenueUnavailable(f"{answer.host} answers without candles: {answer.text[:100]}")
    try:
        return {
            name: milliseconds(np.array([row[place] for row in rows], dtype=np.int64))
            if name == "open_time"
            else np.array([float(row[place]) for row in rows], dtype=np.float64)
            for name, place in places.items()
        }
    except (TypeError, ValueError, LookupError, OverflowError):
        raise VenueUnavailable(f"{answer.host} answers with rows that are no candles: {answer.text[:100]}") from None


def milliseconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return epoch times as milliseconds; their size tells seconds, milli-, micro- and nanoseconds apart."""
    return np.select(
        [times < _FIRST_MILLISECONDS, times < _FIRST_MICROSECONDS, times < _FIRST_NANOSECONDS],
        [times * 1000, times, times // 1000],
        default=times // 1_000_000,
    )


def moment(answer: Answer, number: Callable[[Any], Any]) -> datetime:
    """Return the time whose epoch number is found in an answer; raise VenueUnavailable for an answer without one."""
    try:
        return from_ms(int(milliseconds(np.array([number(answer.json())], dtype=np.int64))[0]))
    except (LookupError, TypeError, ValueError, OverflowError):
        raise VenueUnavailable(f"{answer.host} does not tell its time: {answer.text[:100]}") from None
