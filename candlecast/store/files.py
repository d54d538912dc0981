"""Columns as CSV or Parquet files, written batch by batch in bounded memory. The only home of pyarrow here."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

from candlecast.store.export import Batch

Format = Literal["csv", "parquet"]

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
