"""Feature matrices in a folder: taken where they were made from exactly the same candles, else made and kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from candlecast.candles import Candles, Series
from candlecast.errors import ConfigurationError, DataError, NotEnoughCandles
from candlecast.market import KnownCandles, neighbours
from candlecast.table import Matrix
from training.features import FeatureTable

log = logging.getLogger(__name__)


def matrix_path(folder: Path, series: Series) -> Path:
    """Return where the matrix of a series is kept."""
    return folder / f"{series.venue}-{series.symbol}-{series.interval}.parquet"


def reuse(folder: Path, candles: Mapping[Series, Candles], known: KnownCandles) -> dict[Series, Matrix]:
    """Return the matrices of these series, which with `known` are each other's market; the folder then holds them all.

    Series that have too few candles for a row are left out. Raises ConfigurationError for a folder that cannot be
    written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"CANDLECAST_FEATURE_DIR {folder} cannot be made: {error.strerror}") from error
    together = {**known, **candles}
    found = {}
    for series in candles:
        beside = {one: together[one] for one in (series, *neighbours(series, together))}
        try:
            table = _table(matrix_path(folder, series), series, beside)
        except NotEnoughCandles:
            continue
        found[series] = (table.cutoff, table.rows)
    return found


def _table(path: Path, series: Series, candles: Mapping[Series, Candles]) -> FeatureTable:
    if path.exists():
        try:
            stored = FeatureTable.read(path)
        except DataError as error:
            log.warning("%s; building it again", error.message)
        else:
            if stored.is_of(series, candles):
                log.info("%s: its features are those of %s", series, path)
                return stored
    table = FeatureTable.of(series, candles)
    table.write(path)
    return table
