"""The replay venue: real candles out of files, played by a clock that may run faster than the wall's."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Interval, Refusal, Series, Symbol, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import ConfigurationError, DataError, UnknownSeries
from candlecast.settings import Settings
from candlecast.venues.base import Fetched

_NAME = re.compile(
    r"(?P<venue>[a-z]+)-(?P<pair>[A-Z0-9]+)-(?P<interval>[0-9]+[a-z])(?:-[a-z]+)?"
    r"-(?P<first>\d{4}-\d\d-\d\d)-(?P<last>\d{4}-\d\d-\d\d)\.csv\.gz"
)
_HEADER = "ts,open,high,low,close,volume"
_EXPORTED = _HEADER + ",quote_volume,trades,taker_buy_volume,source"
"""What `python -m candlecast.store export candles` writes; only the columns of `_HEADER` are played."""
_COLUMNS = tuple(_HEADER.split(","))
_ROW = np.dtype([(name, "i8" if name == "ts" else "f8") for name in _COLUMNS])
_QUOTES = (
    "FDUSD",
    "TUSD",
    "USDC",
    "USDT",
    "BUSD",
    "BNB",
    "BRL",
    "BTC",
    "DAI",
    "ETH",
    "EUR",
    "GBP",
    "JPY",
    "TRY",
    "USD",
)
_PAGE_BYTES = 1_000_000  # about 16,000 candles

_Screened = tuple[Candles, tuple[Refusal, ...]]

_DEFAULT_BASES = ("BTC", "ETH", "SOL", "BNB", "XRP")
_DEFAULT_INTERVALS = (Interval.M5, Interval.M15, Interval.H1)
_MOST_DEFAULTS = 15


@dataclass(frozen=True, slots=True)
class CandleFile:
    """One file of one series; `first` and `last` are the inclusive days in its name."""

    path: Path
    origin: str
    series: Series
    first: date
    last: date

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Return whether the file's days reach into start <= time < end."""
        return _midnight(self.first) < end and start < _midnight(self.last) + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not played, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a folder holds: the files of each series, oldest first, and the files that are left out."""

    files: dict[Series, tuple[CandleFile, ...]]
    skipped: tuple[Skipped, ...]

    @property
    def series(self) -> tuple[Series, ...]:
        """Return the series that can be played, sorted."""
        return tuple(sorted(self.files))


def scan(directory: Path) -> Catalog:
    """Return what `directory` holds; raise ConfigurationError when there is nothing in it to play."""
    if not directory.is_dir():
        raise ConfigurationError(f"the replay folder {directory} does not exist; set CANDLECAST_REPLAY_DIR to one")
    found: dict[Series, list[CandleFile]] = {}
    skipped: list[Skipped] = []
    for path in sorted(path for path in directory.iterdir() if path.name.endswith(".gz")):
        described = _describe(path)
        if isinstance(described, Skipped):
            skipped.append(described)
        else:
            found.setdefault(described.series, []).append(described)
    files = {series: _of_one_origin(candidates, skipped) for series, candidates in found.items()}
    if not files:
        raise ConfigurationError(_nothing_usable(directory, skipped))
    return Catalog(files, tuple(skipped))


def default_series(catalog: Catalog) -> tuple[Series, ...]:
    """Return the product's default series as far as the catalog has them; else its first 15."""
    wanted = [
        Series("replay", Symbol(base, "USDT"), interval) for base in _DEFAULT_BASES for interval in _DEFAULT_INTERVALS
    ]
    return tuple(series for series in wanted if series in catalog.files) or catalog.series[:_MOST_DEFAULTS]


class ReplayVenue:
    """Candles of the files in a folder, as far as `clock` has come. Rows of a file must be in ascending order."""

    name = "replay"

    def __init__(self, directory: Path, clock: VenueClock) -> None:
        self.catalog = scan(directory)
        self._clock = clock
        self._unpacked: tuple[Path, bytes] | None = None

    @classmethod
    def from_settings(cls, settings: Settings, clock: VenueClock) -> "ReplayVenue":
        """Open the folder that the settings name; raise ConfigurationError when they name none."""
        if settings.replay_dir is None:
            raise ConfigurationError("no replay folder is set; set CANDLECAST_REPLAY_DIR to a folder of candle files")
        return cls(settings.replay_dir, clock)

    def now(self) -> datetime:
        """Return the replay's time."""
        return self._clock.now()

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end; where files overlap, the earlier file's count.

        The files are all there is, so between and after them the replay has nothing.
        """
        self.require(series)
        end = min(end, series.interval.floor(self.now()))
        for file in self.catalog.files[series]:
            for screened, refused in self._pages(file, start, end):
                candles = screened.between(start, end)
                reached = candles.cutoff if len(candles) else start
                yield Fetched(candles, refused, self.name, start, reached)
                start = reached
        if start < end:
            yield Fetched(Candles.empty(series.interval), (), self.name, start, end)

    def skew(self) -> timedelta:
        """Return zero: the clock is ours."""
        return timedelta()

    def require(self, series: Series) -> None:
        """Raise UnknownSeries, which names what there is, unless a file holds the series."""
        if series not in self.catalog.files:
            known = ", ".join(map(str, self.catalog.series))
            raise UnknownSeries(f"the replay has no {series}; it has {known}", series=str(series))

    def close(self) -> None:
        """Forget the file that was read last."""
        self._unpacked = None

    def _pages(self, file: CandleFile, start: datetime, end: datetime) -> Iterator[_Screened]:
        if start >= end or not file.overlaps(start, end):
            return
        text = self._text(file.path)
        try:
            position, stop = _line_at(text, to_ms(start)), _line_at(text, to_ms(end) + 1)
            while position < stop:
                cut = min(stop, text.index(b"\n", min(position + _PAGE_BYTES, len(text) - 1)) + 1)
                yield _page(file, text[position:cut])
                position = cut
        except ValueError as error:
            raise DataError(f"{file.path.name} holds a line that is no candle: {error}") from error

    def _text(self, path: Path) -> bytes:
        # Backfill asks for a file chunk by chunk, so the last one is kept; all of them would be too much memory.
        if self._unpacked is None or self._unpacked[0] != path:
            self._unpacked = (path, _unpack(path))
        return self._unpacked[1]


def _describe(path: Path) -> CandleFile | Skipped:
    name = _NAME.fullmatch(path.name)
    if not name:
        return Skipped(path.name, "the name is not <venue>-<SYMBOL>-<interval>-<first>-<last>.csv.gz")
    if name["interval"] not in set(Interval):
        return Skipped(path.name, f"the interval {name['interval']} is not one of {', '.join(Interval)}")
    symbol = _symbol(name["pair"])
    if symbol is None:
        return Skipped(path.name, f"{name['pair']} does not end in a known quote currency")
    header = _header(path)
    if header not in (_HEADER, _EXPORTED):
        return Skipped(path.name, f"the columns are {header or 'unreadable'}, not {_HEADER}")
    try:
        days = date.fromisoformat(name["first"]), date.fromisoformat(name["last"])
    except ValueError:
        return Skipped(path.name, "the days in the name do not exist")
    return CandleFile(path, name["venue"], Series("replay", symbol, Interval(name["interval"])), *days)


def _header(path: Path) -> str:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return lines.readline(200).strip()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return ""


def _symbol(pair: str) -> Symbol | None:
    """Split at the longest known quote: USDCUSDT is USDC in USDT."""
    quotes = [quote for quote in _QUOTES if pair.endswith(quote) and pair != quote]
    if not quotes:
        return None
    quote = max(quotes, key=len)
    return Symbol(pair.removesuffix(quote), quote)


def _of_one_origin(candidates: list[CandleFile], skipped: list[Skipped]) -> tuple[CandleFile, ...]:
    """Keep one venue's files, since prices of two venues do not make one series: binance, or who has most days."""
    days: dict[str, int] = {}
    for file in candidates:
        days[file.origin] = days.get(file.origin, 0) + (file.last - file.first).days + 1
    kept = max(days, key=lambda origin: (origin == "binance", days[origin], origin))
    skipped += [
        Skipped(file.path.name, f"{file.series} is played from {kept}'s files")
        for file in candidates
        if file.origin != kept
    ]
    return tuple(sorted((file for file in candidates if file.origin == kept), key=lambda file: (file.first, file.last)))


def _nothing_usable(directory: Path, skipped: list[Skipped]) -> str:
    if not skipped:
        return f"the replay folder {directory} holds no .csv.gz file; set CANDLECAST_REPLAY_DIR to one that does"
    examples = "; ".join(f"{skip.file}: {skip.reason}" for skip in skipped[:3])
    return f"the replay folder {directory} holds no candles of a known quote; {len(skipped)} files skipped: {examples}"


def _unpack(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()).rstrip() + b"\n"
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be read ({error}); fetch the file again") from error


def _line_at(text: bytes, moment: int) -> int:
    """Return where the first line with ts >= moment starts; lines are ascending, the first is the header."""
    low, high = text.index(b"\n") + 1, len(text)
    while low < high:
        middle = (low + high) // 2
        line = text.rfind(b"\n", low, middle) + 1 or low
        if int(text[line : text.index(b",", line)]) < moment:
            low = text.index(b"\n", middle) + 1
        else:
            high = line
    return low


def _page(file: CandleFile, text: bytes) -> _Screened:
    places = tuple(range(len(_COLUMNS)))
    rows: NDArray[Any] = np.loadtxt(io.BytesIO(text), dtype=_ROW, delimiter=",", usecols=places, ndmin=1)
    candles, refused = Candles.screen(
        file.series.interval, open_time=rows["ts"], **{name: rows[name] for name in _COLUMNS[1:]}
    )
    return candles, tuple(refused)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
