"""Memory does not grow with the number of rows that are written or exported: what counts is the chunk."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pyarrow

from candlecast.candles import Candles, Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from candlecast.store.export import CANDLE_KINDS, stream_candles
from candlecast.store.files import Format, encode
from tests.making import START, make_candles

SERIES = Series.parse("replay:BTC-USDT:1m")
MANY = make_candles(150_000, Interval.M1, start=START - timedelta(days=150))
FEW = MANY[:50_000]


class Peak:
    """The most bytes that Python and numpy held at once, beyond what there was at the beginning."""

    bytes = 0


@contextmanager
def measured() -> Iterator[Peak]:
    peak = Peak()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def write(database: Database, candles: Candles) -> int:
    """Return how much memory it took to write the candles, new and again."""
    with measured() as peak, database.begin() as connection:
        candle_store.upsert(connection, SERIES, candles, source="replay", now=MANY.cutoff)
        candle_store.upsert(connection, SERIES, candles, source="replay", now=MANY.cutoff)
    return peak.bytes


def export(database: Database, format_: Format, candles: Candles) -> int:
    """Return how much memory it took to export as many candles."""
    with measured() as peak:
        for part in encode(stream_candles(database, SERIES, end=candles.cutoff), CANDLE_KINDS, format_):
            assert len(part) < 5_000_000
    return peak.bytes


def test_three_times_the_rows_take_no_more_memory(database: Database) -> None:
    few, many = write(database, FEW), write(database, MANY)
    assert many < 1.3 * few < 100_000_000
    held = pyarrow.total_allocated_bytes()
    for format_ in ("csv", "parquet"):
        few, many = export(database, format_, FEW), export(database, format_, MANY)
        assert many < 1.3 * few < 60_000_000
        assert pyarrow.total_allocated_bytes() - held < 10_000_000
