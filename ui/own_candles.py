"""A reader's own CSV: what its columns are, what is wrong with it and in which line. Nothing in it is ever executed."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from candlecast.api import CallerCandles, CandleColumns
from candlecast.candles import Bools, Floats, Interval, from_ms

Times = NDArray[np.int64]

MOST_BYTES: Final = 8_000_000
COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "time": ("open_time", "opentime", "time", "timestamp", "datetime", "date", "unix", "data", "hora", "ts"),
    "open": ("open", "o", "abertura", "open_price"),
    "high": ("high", "h", "max", "maxima", "máxima", "high_price"),
    "low": ("low", "l", "min", "minima", "mínima", "low_price"),
    "close": ("close", "c", "fechamento", "close_price", "last"),
    "volume": ("volume", "vol", "v", "base_volume"),
}
_DELIMITERS: Final = (",", ";", "\t", "|")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_WITH_ZONE: Final = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_UNITS: Final = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (-math.inf, 1e3))
"""From which size on a number is nano-, micro-, milliseconds or seconds since 1970, and that in milliseconds."""
_INTERVALS: Final = ("1m", "5m", "15m", "1h", "4h", "1d")
_SHOWN: Final = 40  # characters of a cell that are repeated in a sentence


class Refused(Exception):
    """The text is no table of candles. `reason` is a key of the screen's words, `parts` fill its gaps."""

    def __init__(self, reason: str, **parts: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parts = parts


@dataclass(frozen=True)
class OwnCandles:
    """A table of candles as it was understood."""

    interval: str
    candles: CallerCandles
    headers: dict[str, str]
    """Which of the file's columns was taken for what."""
    delimiter: str
    decimal_comma: bool
    lines: list[int] = field(repr=False)
    """The line of each candle in the file, the first being 1."""


def read_csv(content: bytes) -> OwnCandles:
    """Return the candles of a CSV, in order of time. Raises Refused with the line and column at fault."""
    if len(content) > MOST_BYTES:
        raise Refused("own_too_big", have=len(content) // 1_000_000, most=MOST_BYTES // 1_000_000)
    text = _decoded(content)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    if not first.count(delimiter):
        raise Refused("own_one_column" if first else "own_nothing")
    table = _table(text, delimiter)
    headers = _headers(list(table.columns))
    comma = delimiter != "," and any(_DECIMAL_COMMA.fullmatch(cell) for cell in table[headers["close"]].head(50))
    values = {name: _numbers(table, headers[name], comma=comma) for name in COLUMNS[1:]}
    times = _times(table, headers["time"])
    order = np.argsort(times, kind="stable")
    _require_unique(table, times, order, headers["time"])
    columns = {name: column[order].tolist() for name, column in values.items()}
    return OwnCandles(
        interval=_interval(times[order]),
        candles=CallerCandles(open_time=times[order].tolist(), **columns),
        headers=headers,
        delimiter=delimiter,
        decimal_comma=comma,
        lines=[_line(int(table.index[at])) for at in order],
    )


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _table(text: str, delimiter: str) -> pd.DataFrame:
    options: dict[str, Any] = {"sep": delimiter, "dtype": str, "keep_default_na": False, "skipinitialspace": True}
    try:
        table = pd.read_csv(io.StringIO(text), index_col=False, skip_blank_lines=False, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        line = re.search(r"line (\d+)", str(error))
        if line is None:
            raise Refused("own_unreadable") from None
        raise Refused("own_ragged", line=int(line.group(1))) from None
    table = table.fillna("").apply(lambda column: column.str.strip())
    filled: pd.DataFrame = table[(table != "").any(axis=1)]
    if filled.empty:
        raise Refused("own_nothing")
    return filled


def _headers(given: list[str]) -> dict[str, str]:
    """Return for each of our columns the file's that is named like it."""
    plain = {re.sub(r"[\s.-]+", "_", name.strip().strip('"').lower()): name for name in reversed(given)}
    if all(re.fullmatch(r"[\d.,:TZ_+-]+", name) for name in plain):
        raise Refused("own_no_header")
    found = {name: plain[alias] for name, aliases in _NAMES.items() for alias in reversed(aliases) if alias in plain}
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise Refused("own_missing", column=missing[0], have=", ".join(given)[: 3 * _SHOWN])
    return {name: found[name] for name in COLUMNS}


def _numbers(table: pd.DataFrame, column: str, *, comma: bool) -> Floats:
    cells = table[column]
    written = cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False) if comma else cells
    values = pd.to_numeric(written, errors="coerce").to_numpy(dtype=np.float64)
    _require(np.isfinite(values), table, column, "own_no_number")
    return values


def _times(table: pd.DataFrame, column: str) -> Times:
    """Return the opening times in epoch milliseconds."""
    cells = table[column]
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    if np.isfinite(numbers).all():
        middle = float(np.median(numbers))
        unit = next(milliseconds for least, milliseconds in _UNITS if middle >= least)
        return np.round(numbers * unit).astype(np.int64)
    zoned = cells.str.contains(_WITH_ZONE).to_numpy(dtype=np.bool_)
    if zoned.any() and not zoned.all():
        at = int(np.argmin(zoned == zoned[0]))
        raise Refused("own_mixed_zones", line=_line(int(table.index[at])), column=column)
    parsed = pd.to_datetime(cells, utc=True, errors="coerce", format="ISO8601")
    _require(parsed.notna().to_numpy(dtype=np.bool_), table, column, "own_no_time")
    return np.asarray(parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").astype(np.int64))


def _require(good: Bools, table: pd.DataFrame, column: str, reason: str) -> None:
    if good.all():
        return
    at = int(np.argmin(good))
    raise Refused(reason, line=_line(int(table.index[at])), column=column, cell=table[column].iloc[at][:_SHOWN])


def _require_unique(
    table: pd.DataFrame,
    times: Times,
    order: Times,
    column: str,
) -> None:
    twice = np.flatnonzero(np.diff(times[order]) == 0)
    if len(twice):
        raise Refused("own_twice", line=_line(int(table.index[order[twice[0] + 1]])), column=column)


def _interval(times: Times) -> str:
    if len(times) < 2:
        raise Refused("own_too_few")
    step = int(np.median(np.diff(times)))
    for name in _INTERVALS:
        if Interval.parse(name).milliseconds == step:
            return name
    raise Refused("own_interval", seconds=step // 1000, known=", ".join(_INTERVALS))


def _line(row: int) -> int:
    """Return the line of a row; the first line holds the names."""
    return row + 2


def sample(candles: CandleColumns) -> str:
    """Return candles as a CSV that `read_csv` understands."""
    rows = zip(candles.open_time, candles.open, candles.high, candles.low, candles.close, candles.volume, strict=True)
    lines = [",".join((from_ms(at).isoformat(), *map(repr, values))) for at, *values in rows]
    return "\n".join(["open_time,open,high,low,close,volume", *lines]) + "\n"
