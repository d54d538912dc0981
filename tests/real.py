"""Real candles from the shared folder."""

from datetime import datetime
from functools import cache

from pyarrow import csv

from candlecast.candles import Candles, Interval, Series, Symbol
from tests.shared import SHARED

BTC_15M = Series("binance", Symbol("BTC", "USDT"), Interval.M15)


@cache
def _whole(name: str, interval: Interval) -> Candles:
    (path,) = (SHARED / "data").glob(f"binance-{name}-{interval}-202[45]-*.csv.gz")
    return real_file(path.name.removesuffix(".csv.gz"), interval)


def real_file(name: str, interval: Interval) -> Candles:
    """Return all candles of one of the shared files, by its name without `.csv.gz`."""
    table = csv.read_csv(SHARED / "data" / f"{name}.csv.gz")
    columns = {column: table[column].to_numpy() for column in ("open", "high", "low", "close", "volume")}
    return Candles.of(interval, open_time=table["ts"].to_numpy(), **columns)


def real_candles(base: str, interval: Interval, start: datetime, end: datetime) -> Candles:
    """Return Binance candles of `base`-USDT with start <= open_time < end."""
    return _whole(f"{base}USDT", interval).between(start, end)
