"""Real candles from the shared folder."""

from datetime import datetime
from functools import cache

import numpy as np

from candlecast.candles import Candles, Interval, Series, Symbol
from tests.shared import SHARED

BTC_15M = Series("binance", Symbol("BTC", "USDT"), Interval.M15)


@cache
def _whole(name: str, interval: Interval) -> Candles:
    (path,) = (SHARED / "data").glob(f"binance-{name}-{interval}-202[45]-*.csv.gz")
    return real_file(path.name.removesuffix(".csv.gz"), interval)


def real_file(name: str, interval: Interval) -> Candles:
    """Return all candles of one of the shared files, by its name without `.csv.gz`."""
    columns = np.loadtxt(SHARED / "data" / f"{name}.csv.gz", delimiter=",", skiprows=1, unpack=True)
    names = ("open", "high", "low", "close", "volume")
    return Candles.of(interval, open_time=columns[0].astype(np.int64), **dict(zip(names, columns[1:], strict=True)))


def real_candles(base: str, interval: Interval, start: datetime, end: datetime) -> Candles:
    """Return Binance candles of `base`-USDT with start <= open_time < end."""
    return _whole(f"{base}USDT", interval).between(start, end)
