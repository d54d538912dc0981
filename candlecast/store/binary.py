"""Candles in Postgres' binary COPY format: whole numpy columns in and out, no Python object per row."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from candlecast.candles import Bools, Candles, Times, to_datetime64

VALUES = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
"""The columns of `candle` that hold a candle's values, in the order of the class."""

# NULL is not of the same length as a number, so that missing optional values travel as NaN.
VALUES_AS_NUMBERS = ", ".join(
    {
        "quote_volume": "coalesce(quote_volume, 'NaN')",
        "trades": "coalesce(trades::double precision, 'NaN')",
        "taker_buy_volume": "coalesce(taker_buy_volume, 'NaN')",
    }.get(name, name)
    for name in VALUES
)

TEXT = 40
"""Characters of a text that is read as a column of fixed width."""

_NULLABLE = ("quote_volume", "trades", "taker_buy_volume")
_POSTGRES_EPOCH = np.datetime64("2000-01-01", "ms")
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_READ_AHEAD = 1 << 20

_WRITE = f"COPY candle (series_id, open_time, {', '.join(VALUES)}, source, ingested_at) FROM STDIN (FORMAT binary)"


def write_rows(connection: Connection, number: int, candles: Candles, *, source: str, ingested_at: datetime) -> None:
    """COPY candles into `candle` as rows of the series with id `number`; none of them may be there already."""
    content = encode(number, candles, source=source, ingested_at=ingested_at)
    _cursor(connection).copy_expert(_WRITE, io.BytesIO(content), _READ_AHEAD)


def read_columns(
    connection: Connection, query: str, values: dict[str, Any], names: Sequence[str], texts: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Return what `query` selects: `open_time` as datetime64[ms], `names` as double precision, `texts` as bytes.

    The query selects them in this order, texts as `char(TEXT)`. No value may be NULL: every row of the answer has
    the same length, so that numpy can read them all at once.
    """
    cursor = _cursor(connection)
    buffer = io.BytesIO()
    cursor.copy_expert(f"COPY ({cursor.mogrify(query, values).decode()}) TO STDOUT (FORMAT binary)", buffer)
    content = buffer.getvalue()
    kinds = [("open_time", ">i8"), *((name, ">f8") for name in names), *((name, f"S{TEXT}") for name in texts)]
    row = _row(kinds)
    count = (len(content) - len(_HEADER) - len(_TRAILER)) // row.itemsize
    rows = np.frombuffer(content, dtype=row, count=count, offset=len(_HEADER))
    numbers = {name: rows[name].astype(np.float64) for name in names}
    return {"open_time": _times(rows["open_time"])} | numbers | {name: np.char.rstrip(rows[name]) for name in texts}


def encode(number: int, candles: Candles, *, source: str, ingested_at: datetime) -> bytes:
    """Return the rows as a COPY file. NaN in an optional column is NULL; rows may come out in another order."""
    parts = (_encode_alike(number, part, source, ingested_at) for part in _alike(candles))
    return b"".join((_HEADER, *parts, _TRAILER))


def _alike(candles: Candles) -> Iterator[Candles]:
    """Yield the rows that have the same optional values together: their binary rows are equally long."""
    given: list[Bools] = [~np.isnan(getattr(candles, name)) for name in _NULLABLE]
    pattern = sum(has.astype(np.int8) << place for place, has in enumerate(given))
    for one in np.unique(pattern):
        yield candles[pattern == one]


def _encode_alike(number: int, candles: Candles, source: str, ingested_at: datetime) -> bytes:
    text = source.encode()
    absent = {name for name in _NULLABLE if np.isnan(getattr(candles, name)[0])}
    kinds = {"series_id": ">i4", "open_time": ">i8"}
    kinds |= {name: ">i8" if name == "trades" else ">f8" for name in VALUES}
    kinds |= {"source": f"S{len(text)}", "ingested_at": ">i8"}
    rows = np.empty(
        len(candles), dtype=_row([(name, None if name in absent else kind) for name, kind in kinds.items()])
    )
    rows["fields"] = len(kinds)
    given: dict[str, Any] = candles.columns() | {"series_id": number, "source": text}
    given |= {"open_time": _microseconds(candles.open_time), "ingested_at": _microseconds(to_datetime64(ingested_at))}
    for name in kinds:
        rows[f"{name}_size"] = -1 if name in absent else rows.dtype[name].itemsize
        if name not in absent:
            rows[name] = given[name]
    return rows.tobytes()


def _row(columns: Sequence[tuple[str, str | None]]) -> np.dtype[Any]:
    """One row of the format: the number of fields, then each field's length in bytes and its value; none for NULL."""
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        parts += [(f"{name}_size", ">i4"), *([(name, kind)] if kind else [])]
    return np.dtype(parts)


def _times(microseconds: NDArray[Any]) -> Times:
    return _POSTGRES_EPOCH + (microseconds.astype(np.int64) // 1000).astype("timedelta64[ms]")


def _microseconds(times: Any) -> Any:
    return (times - _POSTGRES_EPOCH).astype("timedelta64[us]").astype(np.int64)


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()
