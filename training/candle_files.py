"""Candles out of CSV files, for evaluation without a database."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import VENUES, Candles, Interval, Series, from_ms
from candlecast.errors import InvalidCandles, UsageError

_FOREIGN = "replay"  # the venue whose candles come from files
_TIME = "ts"
_NEEDED = ("open", "high", "low", "close", "volume")
_TAKEN = ("quote_volume", "trades", "taker_buy_volume")


def named_files(given: Sequence[str]) -> tuple[dict[str, Series], dict[Series, list[Path]]]:
    """Return the series by their names as written in `SERIES=FILE`, and the files of each.

    A venue that the product has no adapter for, such as `yahoo`, counts as one whose candles come from files. Raises
    UsageError for anything else.
    """
    series: dict[str, Series] = {}
    files: dict[Series, list[Path]] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(f"{text!r} is no SERIES=FILE; write it like binance:BTC-USDT:15m=candles.csv.gz")
        series[name] = _series(name)
        files.setdefault(series[name], []).append(Path(path))
    return series, files


def read_series(files: Mapping[Series, Sequence[Path]]) -> dict[Series, Candles]:
    """Return the candles of each series; files of one series are joined.

    Columns are `ts` (open time, epoch milliseconds UTC), `open high low close volume`, optionally `quote_volume`,
    `trades` and `taker_buy_volume`; others are passed over. Names that end in `.gz` are unpacked. Where files overlap
    they must agree. Raises UsageError for a file that cannot be opened, InvalidCandles for one whose content is wrong.
    """
    return {series: _joined(series, [_read(path, series) for path in paths]) for series, paths in files.items()}


def _series(name: str) -> Series:
    venue, colon, rest = name.partition(":")
    known = venue in VENUES or not re.fullmatch("[a-z]+", venue)
    return Series.parse(name if known or not colon else f"{_FOREIGN}:{rest}")


def _joined(series: Series, parts: Sequence[Candles]) -> Candles:
    if len(parts) == 1:
        return parts[0]
    columns = [part.columns() for part in parts]
    candles, refused = Candles.screen(
        series.interval, **{name: np.concatenate([one[name] for one in columns]) for name in columns[0]}
    )
    times = sorted({one.open_time for one in refused})
    if times:
        raise InvalidCandles(
            f"the files of {series} disagree about {len(times)} candles, the first at "
            f"{from_ms(times[0]):%Y-%m-%d %H:%M} UTC; give files of one source"
        )
    return candles


def _read(path: Path, series: Series) -> Candles:
    names, rows = _rows(path)
    times = _column(path, rows, names, _TIME)
    wrong = np.flatnonzero(times != np.floor(times))
    if wrong.size:
        raise InvalidCandles(f"{path.name} line {wrong[0] + 2}: ts is no whole number of milliseconds")
    _require_interval(path, times, series.interval)
    values = {name: _column(path, rows, names, name) for name in (*_NEEDED, *_TAKEN) if name in names}
    try:
        return Candles.of(series.interval, open_time=times.astype(np.int64), **values)
    except InvalidCandles as error:
        row = error.details.get("row")
        where = "" if row is None else f" line {row + 2}"
        raise InvalidCandles(f"{path.name}{where}: {error.message}", **error.details) from None


def _rows(path: Path) -> tuple[list[str], NDArray[np.str_]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            table = [row for row in csv.reader(lines) if row]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InvalidCandles(f"{path.name} is no CSV text: {error}") from error
    if len(table) < 2:
        raise InvalidCandles(f"{path.name} is empty; it needs a header and candles")
    names = [name.strip() for name in table[0]]
    missing = [name for name in (_TIME, *_NEEDED) if name not in names]
    if missing:
        raise InvalidCandles(f"{path.name} lacks {_listed(missing)}; its columns are {', '.join(names)}")
    ragged = next((line for line, row in enumerate(table[1:], start=2) if len(row) != len(names)), None)
    if ragged:
        raise InvalidCandles(f"{path.name} line {ragged}: not {len(names)} values")
    return names, np.array(table[1:])


def _column(path: Path, rows: NDArray[np.str_], names: Sequence[str], name: str) -> NDArray[np.float64]:
    texts = rows[:, names.index(name)]
    try:
        return texts.astype(np.float64)
    except ValueError:
        line, text = next((line, text) for line, text in enumerate(texts, start=2) if not _is_number(text))
        raise InvalidCandles(f"{path.name} line {line}: {name} is {str(text)!r}, no number") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _require_interval(path: Path, times: NDArray[np.float64], interval: Interval) -> None:
    if len(times) < 2 or not np.isfinite(times).all():
        return
    usual = float(np.median(np.abs(np.diff(times))))
    if usual not in (0, interval.milliseconds):
        actual = next((one.value for one in Interval if one.milliseconds == usual), f"{usual / 1000:g} s")
        raise InvalidCandles(f"{path.name} holds {actual} candles, not {interval}; name the series accordingly")


def _listed(names: Iterable[str]) -> str:
    return "the column " + " and ".join(repr(name) for name in names)
