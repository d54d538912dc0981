"""Columns as CSV or Parquet files, written batch by batch in bounded memory. The only home of pyarrow here."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

from numpy.typing import NDArray

from candlecast.errors import InvalidCandles, NotParquet, TooLarge
from candlecast.store.export import Batch

Format = Literal["csv", "parquet"]

_PRICED = ("open", "high", "low", "close", "volume")
_MOST_BYTES = 64_000_000

MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def encode(batches: Iterable[Batch], kinds: Mapping[str, str], format: Format) -> Iterator[bytes]:  # noqa: A002  # the API's word
    """Yield a file of the columns that `kinds` names, in its order. NaN is missing: empty in CSV, null in Parquet.

    Times are UTC: RFC 3339 in CSV, timestamps in Parquet.
    """
    import pyarrow
    from pyarrow import csv, parquet

    types = {"timestamp": pyarrow.timestamp("us", "UTC")}
    schema = pyarrow.schema([(name, types.get(kind, kind)) for name, kind in kinds.items()])
    sink = _Sink()
    if format == "csv":
        # pyarrow would put the names in quotes, which our own replay does not expect.
        sink.write((",".join(kinds) + "\n").encode())
        writer = csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(include_header=False))
    else:
        writer = parquet.ParquetWriter(sink, schema, compression="zstd")
    for batch in batches:
        columns = [pyarrow.array(batch[name], from_pandas=True).cast(schema.field(name).type) for name in kinds]
        writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
        yield sink.taken()
    writer.close()
    yield sink.taken()


def read_candle_file(content: bytes, *, most_rows: int) -> dict[str, NDArray[Any]]:
    """Return a Parquet file's candles as columns; the open time may be called `ts`, as in an export.

    Columns of other names are not read. Raises NotParquet for what is no such file, TooLarge before any row is read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        groups = [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)]
        if (rows := max(file.metadata.num_rows, sum(groups))) > most_rows:
            raise TooLarge(f"{rows} candles are too many; send at most {most_rows}", have=rows, most=most_rows)
        names = file.schema_arrow.names
        wanted = {name: name for name in ("open_time", *_PRICED)}
        if "open_time" not in names and "ts" in names:
            wanted["open_time"] = "ts"
        if missing := [name for name, stored in wanted.items() if stored not in names]:
            raise NotParquet(f"the file has no column {missing[0]}; it needs {', '.join(wanted)}")
        _require_readable(file, wanted)
        table = file.read(columns=list(wanted.values()), use_threads=False)
        return {name: _as_numpy(name, table.column(stored)) for name, stored in wanted.items()}
    except (pyarrow.ArrowException, OSError) as error:
        raise NotParquet(f"the body is no Parquet file that can be read: {error}") from None


def _require_readable(file: Any, wanted: Mapping[str, str]) -> None:
    """Raise for columns of other kinds, and for those that would unpack to more than `_MOST_BYTES`."""
    from pyarrow import types

    for name, stored in wanted.items():
        kind = file.schema_arrow.field(stored).type
        aware = types.is_timestamp(kind) and kind.tz is not None
        if name == "open_time" and not (aware or types.is_integer(kind)):
            raise InvalidCandles("column open_time must hold epoch milliseconds, or timestamps with a time zone")
        if name != "open_time" and not (types.is_integer(kind) or types.is_floating(kind)):
            raise InvalidCandles(f"column {name} must hold numbers, not {kind}")
    groups = (file.metadata.row_group(place) for place in range(file.metadata.num_row_groups))
    columns = (group.column(place) for group in groups for place in range(group.num_columns))
    size = sum(one.total_uncompressed_size for one in columns if one.path_in_schema in wanted.values())
    if size > _MOST_BYTES:
        raise TooLarge(f"the candles unpack to {size} bytes; at most {_MOST_BYTES} are read", most=_MOST_BYTES)


def _as_numpy(name: str, column: Any) -> NDArray[Any]:
    import pyarrow
    from pyarrow import types

    if name == "open_time":
        if column.null_count:
            raise InvalidCandles("column open_time holds nulls; give each candle its time")
        if types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("ms", "UTC")).cast(pyarrow.int64())
        return cast("NDArray[Any]", column.to_numpy())
    return cast("NDArray[Any]", column.cast(pyarrow.float64()).to_numpy())


@contextmanager
def complete_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only once the block is over; a `.gz` is compressed.

    Where the block raises, what was at `path` before stays as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "xb") as plain:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=plain, mode="wb", mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield plain
            plain.flush()
            os.fsync(plain.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class _Sink(io.RawIOBase):
    """Something to write to that gives away what was written since it was last asked."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
