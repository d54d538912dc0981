"""Binance's past as files: one zip of CSV per series and month, or day, with a checksum beside it."""

import hashlib
import io
import logging
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Series, to_ms
from candlecast.errors import CandlecastError, ChecksumMismatch, DataError, NotFound, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Fetched, Remembered, Sleep
from candlecast.venues.binance import PLACES, spelling
from candlecast.venues.http import Answer, HttpClient
from candlecast.venues.live import milliseconds

_log = logging.getLogger(__name__)

_ROW = np.dtype([(name, "i8" if name == "open_time" else "f8") for name in PLACES])
_CHECKSUM = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)\s*")
_LARGEST_FILE = 64_000_000  # bytes, packed or not; a month of minutes has 2 and 6 million
_DAY = timedelta(days=1)
_FEW_DAYS = 3


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its address, and the period whose candles it holds, start <= open_time < end."""

    path: str
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class BinanceArchive:
    """Candles of the files that data.binance.vision publishes: of a day on the next, of a month early in the next.

    A file answers for its whole period, whatever it lacks. A file that is not there answers for nothing: it may not
    be published yet, and where the symbol was not listed yet the exchange itself says so. After three days
    without a file the rest of that month is not asked for. Files are replaced now and then, so the digest of each
    one that was read is remembered. `wall_now` is the local clock: no file of a day that is not over is asked for.
    """

    name = "binance_archive"

    def __init__(
        self,
        http: HttpClient,
        remembered: Remembered,
        wall_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self._remembered = remembered
        self._wall_now = wall_now

    @classmethod
    def from_settings(cls, settings: Settings, remembered: Remembered, *, sleep: Sleep) -> Self:
        """Return the archive on the host that the settings name."""
        url = settings.binance_archive_url
        http = HttpClient.from_settings(url, settings, largest_answer=_LARGEST_FILE, sleep=sleep)
        return cls(http, remembered)

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the candles with start <= open_time < end, a file per page.

        Raise ChecksumMismatch for a file that is damaged, DataError for one that holds no candles.
        """
        now = self._wall_now()
        for first, last in _months(start, min(end, _midnight(now))):
            month = _month_file(series, first)
            wanted = month.end <= now and last - first > _FEW_DAYS * _DAY
            if not (wanted and (yield from self._page(series, month, first, last))):
                yield from self._days(series, first, last)

    def replaced(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the pages again of those files about start <= open_time < end that changed since they were read."""
        for first, last in _months(start, min(end, _midnight(self._wall_now()))):
            for file in (_month_file(series, first), *_day_files(series, first, last)):
                known = self._remembered.digest(file.name)
                if known is not None and self._digest(file) not in (known, None):
                    _log.info("%s was replaced since it was read", file.name)
                    yield from self._page(series, file, max(first, file.start), min(last, file.end))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _days(self, series: Series, first: datetime, last: datetime) -> Iterator[Fetched]:
        missing = 0
        for file in _day_files(series, first, last):
            found = yield from self._page(series, file, max(first, file.start), min(last, file.end))
            missing = 0 if found else missing + 1
            if missing == _FEW_DAYS:
                return

    def _page(self, series: Series, file: _File, start: datetime, end: datetime) -> Generator[Fetched, None, bool]:
        """Yield what a file says about start <= open_time < end; return whether the file is there."""
        content, digest = self._verified(file)
        if content is None:
            return False
        candles, refused = Candles.screen(series.interval, **_columns(file.name, content))
        about = tuple(one for one in refused if to_ms(start) <= one.open_time < to_ms(end))
        yield Fetched(candles.between(start, end), about, self.name, start, end)
        self._remembered.remember(file.name, digest)  # not before the page was taken, or an interrupted run lost it
        return True

    def _verified(self, file: _File) -> tuple[bytes | None, str]:
        # File and checksum are published one after the other, so what disagrees once may only have been in between.
        for _ in range(2):
            digest = self._digest(file)
            content = self._content(file.path) if digest else None
            if digest is None or content is None:
                return None, ""
            if hashlib.sha256(content).hexdigest() == digest:
                return content, digest
        raise ChecksumMismatch(f"{file.name} is not what its checksum says; it is tried again with the next run")

    def _digest(self, file: _File) -> str | None:
        content = self._content(f"{file.path}.CHECKSUM")
        if content is None:
            return None
        found = _CHECKSUM.fullmatch(content.decode(errors="replace"))
        if not found or found[2] != file.name:
            raise VenueUnavailable(f"{self._http.host} has no readable checksum of {file.name}: {content[:100]!r}")
        return found[1].lower()

    def _content(self, path: str) -> bytes | None:
        try:
            return self._http.get(path, lambda answer: answer.body, explain=_explain)
        except NotFound:
            return None


def _explain(answer: Answer) -> CandlecastError | None:
    return NotFound(f"there is no {answer.path}") if answer.status == httpx.codes.NOT_FOUND else None


def _months(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield start <= time < end, cut at the beginning of each month."""
    while start < end:
        stop = min(end, _next_month(start))
        yield start, stop
        start = stop


def _month_file(series: Series, day: datetime) -> _File:
    first = _midnight(day).replace(day=1)
    return _File(_path(series, "monthly", f"{day:%Y-%m}"), first, _next_month(day))


def _day_files(series: Series, start: datetime, end: datetime) -> Iterator[_File]:
    day = _midnight(start)
    while day < end:
        yield _File(_path(series, "daily", f"{day:%Y-%m-%d}"), day, day + _DAY)
        day += _DAY


def _path(series: Series, kind: str, period: str) -> str:
    symbol, interval = spelling(series.symbol), series.interval
    return f"/data/spot/{kind}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _next_month(moment: datetime) -> datetime:
    return (_midnight(moment).replace(day=1) + timedelta(days=31)).replace(day=1)


def _columns(name: str, content: bytes) -> dict[str, NDArray[Any]]:
    text = _unpacked(name, content)
    if not text[:1].isdigit():  # a header, or nothing at all
        text = text.partition(b"\n")[2]
    try:
        rows = _rows(text)
    except ValueError as error:
        raise DataError(f"{name} holds a line that is no candle: {error}") from None
    return {**{field: rows[field] for field in PLACES}, "open_time": milliseconds(rows["open_time"])}


def _rows(text: bytes) -> NDArray[Any]:
    if not text:
        return np.empty(0, _ROW)
    return np.loadtxt(io.BytesIO(text), _ROW, delimiter=",", usecols=tuple(PLACES.values()), ndmin=1)


def _unpacked(name: str, content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (member,) = archive.infolist()
            with archive.open(member) as file:
                text = file.read(_LARGEST_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{name} is no zip of one file: {error}") from None
    if len(text) > _LARGEST_FILE:
        raise DataError(f"{name} unpacks to more than {_LARGEST_FILE:,} bytes")
    return text.strip()
