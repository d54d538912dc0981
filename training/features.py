"""`python -m training features`: write the feature matrix of a series as Parquet, as a model would see it."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from candlecast.candles import Candles, Series, Times
from candlecast.errors import ConfigurationError, DataError, NotEnoughCandles, UnknownSeries, UsageError
from candlecast.features import WINDOW, FeatureSpec, FloatMatrix, build_features, complete_windows
from candlecast.market import market_around, neighbours
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store.migrate import ready_database
from candlecast.xgb import data_hash
from training.candle_files import named_files, read_series

log = logging.getLogger(__name__)

_CUTOFF = "cutoff"
_SERIES, _FINGERPRINT, _DATA_HASH = b"candlecast.series", b"candlecast.fingerprint", b"candlecast.data_hash"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The rows of one series that have features, float32 columns named as in `FeatureSpec`, and what they came from.

    `fingerprint` is that of the spec, `data_hash` that of the series' candles and of all others that were looked at.
    """

    series: Series
    cutoff: Times
    rows: FloatMatrix
    fingerprint: str
    data_hash: str

    @classmethod
    def of(cls, series: Series, candles: Mapping[Series, Candles]) -> FeatureTable:
        """Build the table; candles of other series are its market. Raises NotEnoughCandles when no row is complete."""
        own = candles[series]
        usable = complete_windows(own)
        if not usable.any():
            raise NotEnoughCandles(
                f"{series}: have {len(own)} candles, need {WINDOW} without a gap for a row of features",
                have=len(own),
                need=WINDOW,
            )
        rows = build_features(own, market=market_around(series, candles))
        return cls(
            series, own.close_time[usable], rows[usable], FeatureSpec(series.interval).fingerprint, data_hash(candles)
        )

    def write(self, path: Path) -> None:
        """Write the table as Parquet: `cutoff` (UTC) and a column per feature; the rest is in the file's metadata."""
        names = FeatureSpec(self.series.interval).names
        columns = [pa.array(self.cutoff, pa.timestamp("ms", tz="UTC")), *map(pa.array, self.rows.T)]
        facts = {_SERIES: str(self.series), _FINGERPRINT: self.fingerprint, _DATA_HASH: self.data_hash}
        table = pa.table(columns, names=[_CUTOFF, *names]).replace_schema_metadata(facts)
        try:
            pq.write_table(table, path)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path) -> FeatureTable:
        """Return a table that `write` wrote; raise DataError for any other file."""
        try:
            table = pq.read_table(path)
            facts = table.schema.metadata
            series = Series.parse(facts[_SERIES].decode())
            names = FeatureSpec(series.interval).names
            rows = np.column_stack([table[name].to_numpy() for name in names])
            cutoff = table[_CUTOFF].to_numpy().astype("datetime64[ms]")
        except (OSError, KeyError, TypeError, UsageError, pa.ArrowInvalid) as error:
            raise DataError(f"{path} is no feature matrix of this version: {error}") from error
        return cls(series, cutoff, rows, facts[_FINGERPRINT].decode(), facts[_DATA_HASH].decode())

    def is_of(self, series: Series, candles: Mapping[Series, Candles]) -> bool:
        """Return whether `of` would build this very table, without building it."""
        fingerprint = FeatureSpec(series.interval).fingerprint
        return (self.series, self.fingerprint, self.data_hash) == (series, fingerprint, data_hash(candles))


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--series", required=True, help="the series, such as binance:BTC-USDT:15m")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.parquet", help="where the matrix is written")
    parser.add_argument(
        "--candles",
        action="append",
        default=[],
        metavar="SERIES=FILE",
        help="read candles from CSV files as `evaluate` does; left out: from the database",
    )


def run(arguments: Namespace, settings: Settings) -> int:
    """Write the matrix, unless the file already holds it, and return the exit code."""
    series, candles = _from_files(arguments) if arguments.candles else _from_store(arguments, settings)
    path: Path = arguments.out
    if path.exists() and FeatureTable.read(path).is_of(series, candles):
        log.info("%s already holds the features of these candles", path)
        return 0
    table = FeatureTable.of(series, candles)
    table.write(path)
    log.info("%s: %d rows, data hash %s", path, len(table.cutoff), table.data_hash[:12])
    return 0


def _from_files(arguments: Namespace) -> tuple[Series, dict[Series, Candles]]:
    names, files = named_files(arguments.candles)
    series = names.get(arguments.series)
    if series is None:
        raise UnknownSeries(f"no file was given for {arguments.series}; there are {', '.join(names)}")
    candles = read_series(files)
    return series, {one: candles[one] for one in (series, *neighbours(series, candles))}


def _from_store(arguments: Namespace, settings: Settings) -> tuple[Series, dict[Series, Candles]]:
    series = Series.parse(arguments.series)
    found: dict[Series, Candles] = {}
    with ready_database(settings).begin() as connection:
        for one in (series, *neighbours(series, settings.series)):
            try:
                found[one] = candle_store.read(connection, one)
            except UnknownSeries:
                if one == series:
                    raise
    return series, {one: those for one, those in found.items() if len(those) or one == series}
