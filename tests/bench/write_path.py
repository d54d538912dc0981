"""`make bench`: how fast candles are written, ours against a bare COPY and what else people use.

Three cases: an empty table, the same rows again, and a mixture of known, restated and new rows. The contenders run in
turn, several rounds of them, each on a table brought into the same state; what counts is the median. The yardstick is
the bare binary COPY of all rows into the empty table, with the columns encoded beforehand: it neither looks at what is
there nor could it be run twice.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from psycopg2.extras import execute_values
from sqlalchemy import Connection, Engine, create_engine, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Candles, Interval, Series
from candlecast.store import candles as store
from candlecast.store import schema
from candlecast.store.binary import VALUES, encode
from tests.bench.ours import database_in
from tests.making import make_candles


class Write(Protocol):
    """Write candles of the series, whatever of them is there already."""

    def __call__(self, connection: Connection, candles: Candles) -> None: ...


SERIES = Series.parse("binance:BTC-USDT:1m")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ("series_id", "open_time", *VALUES, "source", "ingested_at")

MOST_TIMES_COPY, LEAST_TIMES_CORE = 2.5, 13.0

_SET = ", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "source", "ingested_at"))
_ON_CONFLICT = f"""
ON CONFLICT (series_id, open_time) DO UPDATE SET {_SET}
WHERE ({", ".join(f"c.{name}" for name in VALUES)})
      IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in VALUES)})
"""


def ours(connection: Connection, candles: Candles) -> None:
    """Write with the store's own function, corrections and notification included."""
    store.upsert(connection, SERIES, candles, source="binance", now=NOW)


def core(connection: Connection, candles: Candles) -> None:
    """Write with SQLAlchemy Core's multi-row insert."""
    connection.execute(_CORE_UPSERT, list(_dictionaries(connection, candles)))


def values(connection: Connection, candles: Candles) -> None:
    """Write with psycopg2's execute_values, 1000 rows a statement."""
    statement = f"INSERT INTO candle AS c ({', '.join(COLUMNS)}) VALUES %s {_ON_CONFLICT}"  # noqa: S608  # our names
    execute_values(_cursor(connection), statement, list(_tuples(connection, candles)), page_size=1000)


def text_copy(connection: Connection, candles: Candles) -> None:
    """Write by a text COPY into a temporary table and an INSERT from there."""
    names = ", ".join(COLUMNS)
    connection.execute(text("CREATE TEMPORARY TABLE arriving (LIKE candle INCLUDING DEFAULTS) ON COMMIT DROP"))
    lines = ("\t".join("\\N" if value is None else str(value) for value in row) for row in _tuples(connection, candles))
    _cursor(connection).copy_expert(f"COPY arriving ({names}) FROM STDIN", io.StringIO("\n".join(lines) + "\n"))
    connection.execute(
        text(f"INSERT INTO candle AS c ({names}) SELECT {names} FROM arriving {_ON_CONFLICT}")  # noqa: S608  # our names
    )


def bare_copy(connection: Connection, content: bytes) -> None:
    """COPY encoded rows straight into the table."""
    statement = f"COPY candle ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
    _cursor(connection).copy_expert(statement, io.BytesIO(content), 1 << 20)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 1 where we are slower than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=130_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as folder:
        with database_in(Path(folder)) as database:
            address = database.address
        return _report(options.rows, _measure(address, options.rows, options.rounds))


def _measure(address: str, rows: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median seconds by case and contender."""
    url = address.replace("postgresql://", "postgresql+psycopg2://")
    plain = create_engine(url)
    batched = create_engine(url, executemany_mode="values_plus_batch")
    contenders: dict[str, tuple[Engine, Write]] = {
        "ours": (plain, ours),
        "text COPY, temporary table": (plain, text_copy),
        "execute_values": (plain, values),
        "SQLAlchemy Core, values_plus_batch": (batched, core),
        "SQLAlchemy Core": (plain, core),
    }
    candles = make_candles(rows, Interval.M1, start=NOW - rows * timedelta(minutes=1))
    cases = {"empty": candles[:0], "same again": candles, "mixed": _restated(candles)[: rows // 2]}
    with plain.begin() as connection:
        content = encode(store.lock_series(connection, SERIES), candles, source="binance", ingested_at=NOW)
    taken: dict[str, dict[str, list[float]]] = {case: {} for case in cases}
    for _ in range(rounds):
        for case, before in cases.items():
            floor = _seconds(plain, candles[:0], partial(bare_copy, content=content))
            taken[case].setdefault("bare binary COPY", []).append(floor)
            for name, (engine, write) in contenders.items():
                seconds = _seconds(engine, before, partial(write, candles=candles))
                taken[case].setdefault(name, []).append(seconds)
    plain.dispose()
    batched.dispose()
    return {case: {name: statistics.median(all_) for name, all_ in by.items()} for case, by in taken.items()}


def _seconds(engine: Engine, before: Candles, write: Callable[[Connection], None]) -> float:
    """Return how long `write` and its commit take on a table that holds `before`."""
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE candle"))
        if len(before):
            store.upsert(connection, SERIES, before, source="binance", now=NOW)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE candle"))
        connection.execute(text("CHECKPOINT"))
    begun = time.perf_counter()
    with engine.begin() as connection:
        write(connection)
    return time.perf_counter() - begun


def _restated(candles: Candles) -> Candles:
    """Return the candles with another volume in one of twenty."""
    volume = candles.volume.copy()
    volume[::20] += 1
    return Candles.of(candles.interval, **(candles.columns() | {"volume": volume}))


def _report(rows: int, medians: dict[str, dict[str, float]]) -> int:
    kept = True
    for case, seconds in medians.items():
        floor, we, rival = (seconds[name] for name in ("bare binary COPY", "ours", "SQLAlchemy Core"))
        _say(f"\n{case}: {rows:,} rows")
        for name, taken in sorted(seconds.items(), key=lambda item: item[1]):
            speed = f"{taken * 1000:8.0f} ms {rows / taken:12,.0f} rows/s"
            _say(f"  {name:36} {speed} {taken / floor:7.2f} x the bare COPY")
        promised = we <= MOST_TIMES_COPY * floor and rival >= LEAST_TIMES_CORE * we
        _say(f"  ours: {we / floor:.2f} x the bare COPY, {rival / we:.1f} x faster than SQLAlchemy Core")
        kept = kept and promised
    promise = f"at most {MOST_TIMES_COPY:g} x the bare COPY, {LEAST_TIMES_CORE:g} x faster than SQLAlchemy Core or more"
    _say(f"\n{'kept' if kept else 'NOT KEPT'}: {promise}")
    return 0 if kept else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


def _core_upsert() -> Any:
    statement = insert(schema.candle)
    said, says = (tuple_(*(table[name] for name in VALUES)) for table in (schema.candle.c, statement.excluded))
    return statement.on_conflict_do_update(
        index_elements=["series_id", "open_time"],
        set_={name: statement.excluded[name] for name in (*VALUES, "source", "ingested_at")},
        where=said.is_distinct_from(says),
    )


_CORE_UPSERT = _core_upsert()


def _tuples(connection: Connection, candles: Candles) -> Iterator[tuple[Any, ...]]:
    number = store.series_id(connection, SERIES)
    columns = [getattr(candles, name).tolist() for name in VALUES]
    times = (moment.replace(tzinfo=UTC) for moment in candles.open_time.tolist())
    for moment, *row in zip(times, *columns, strict=True):
        yield (number, moment, *(None if value != value else value for value in row), "binance", NOW)


def _dictionaries(connection: Connection, candles: Candles) -> Iterator[dict[str, Any]]:
    for row in _tuples(connection, candles):
        yield dict(zip(COLUMNS, row, strict=True))


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


if __name__ == "__main__":
    sys.exit(main())
