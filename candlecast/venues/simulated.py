"""The simulated venue: a seeded stochastic market for places that cannot reach an exchange.

Its 1m candles are a pure function of (seed, symbol, day), so whoever asks for any range, at any
time, gets the same candles; longer intervals are made of them. A day is drawn in two steps. Daily
returns are accumulated since `EPOCH`, which fixes where each day starts and ends; the minutes in
between are a random walk that is bent to end there, so days join without a jump.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Floats, Interval, Series, Symbol, Times, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import UnknownSeries
from candlecast.venues.base import Fetched

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
"""The market's first day; there are no candles before it."""

START_PRICES = {
    "BTC": 60_000.0,
    "ETH": 3_000.0,
    "BNB": 600.0,
    "SOL": 150.0,
    "LTC": 90.0,
    "LINK": 15.0,
    "XRP": 0.6,
    "ADA": 0.5,
    "DOGE": 0.15,
}
"""Price in USDT on the first day, by base; the only symbols that this venue has."""

_MINUTES = 1440
_DAY_MS = 86_400_000
_DAYS_PER_PAGE = 7
_DAYS_PER_BLOCK = 4096
_DAILY_VOLATILITY = 0.022
_MARKET_SHARE = 0.75  # correlation of a symbol with the market; squared it is the common part of the variance
_PULL_BACK = 0.998  # keeps the price within a believable distance of its start over the years
_TAIL = 4.0  # degrees of freedom: minute returns with a kurtosis far above the normal's
_LOT = 5  # decimals of volumes
_MINUTE_TURNOVER = 400_000.0  # USDT, median, of a symbol like BTC


class SimulatedVenue:
    """A market that never was. `seed` chooses it; the same seed is the same market everywhere."""

    name = "simulated"

    def __init__(self, seed: int, clock: VenueClock) -> None:
        self._seed = seed
        self._clock = clock

    def now(self) -> datetime:
        """Return the market's time."""
        return self._clock.now()

    def fetch(self, series: Series, start: datetime, end: datetime) -> Iterator[Fetched]:
        """Yield the closed candles with start <= open_time < end, a week per page."""
        self.require(series)
        end = min(end, series.interval.floor(self.now()))
        first, last = _day_of(max(start, EPOCH)), _day_of(end)
        for day in range(first, last + 1, _DAYS_PER_PAGE):
            days = range(day, min(day + _DAYS_PER_PAGE, last + 1))
            reached = min(end, _midnight(days.stop))
            if start < reached:
                candles = _week(self._seed, series, days).between(start, reached)
                yield Fetched(candles, (), self.name, start, reached)
                start = reached
        if start < end:
            yield Fetched(Candles.empty(series.interval), (), self.name, start, end)

    def skew(self) -> timedelta:
        """Return zero: the clock is ours."""
        return timedelta()

    def require(self, series: Series) -> None:
        """Raise UnknownSeries, which names the symbols there are, for anything else."""
        if series.venue != self.name or series.symbol.quote != "USDT" or series.symbol.base not in START_PRICES:
            known = ", ".join(f"{base}-USDT" for base in START_PRICES)
            raise UnknownSeries(f"the simulated venue has no {series}; its symbols are {known}", series=str(series))

    def close(self) -> None:
        """Do nothing: the market is arithmetic."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """What tells symbols apart besides their dice: the first price, the decimals of prices, the usual volume."""

    price: float
    decimals: int
    volume: float

    @classmethod
    def of(cls, symbol: Symbol) -> "_Scale":
        price = START_PRICES[symbol.base]
        turnover = _MINUTE_TURNOVER * (price / START_PRICES["BTC"]) ** 0.25
        return cls(price, max(2, 3 - math.floor(math.log10(price))), turnover / price)


class _Dice:
    """Uniform, normal and fat-tailed numbers, made from raw bits.

    numpy keeps the bits of PCG64 the same for ever, but not what its Generator makes of them.
    """

    def __init__(self, *names: object) -> None:
        digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest[:16]))

    def uniform(self, count: int) -> Floats:
        """Return numbers with 0 < x < 1."""
        bits: NDArray[np.uint64] = self._bits.random_raw(count)
        return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def normal(self, count: int) -> Floats:
        radius: Floats = np.sqrt(-2 * np.log(self.uniform(count)))
        return radius * np.cos(2 * np.pi * self.uniform(count))

    def fat_tailed(self, count: int) -> Floats:
        """Return Student's t by Bailey's method, scaled to variance 1."""
        radius: Floats = np.sqrt(_TAIL * (self.uniform(count) ** (-2 / _TAIL) - 1))
        return radius * np.cos(2 * np.pi * self.uniform(count)) * math.sqrt(1 - 2 / _TAIL)


def _rounded(values: Floats, decimals: int) -> Floats:
    rounded: Floats = np.round(values, decimals)
    return rounded


def _day_of(moment: datetime) -> int:
    return (to_ms(moment) - to_ms(EPOCH)) // _DAY_MS


def _midnight(day: int) -> datetime:
    return EPOCH + timedelta(days=day)


def _week(seed: int, series: Series, days: range) -> Candles:
    minutes = [_minutes(seed, series.symbol, day) for day in days]
    return aggregate(Candles.concatenate(minutes) if minutes else Candles.empty(Interval.M1), series.interval)


def aggregate(minutes: Candles, interval: Interval) -> Candles:
    """Return the candles of `interval` made of whole spans of 1m candles without gaps."""
    if interval is Interval.M1:
        return minutes
    first = np.arange(0, len(minutes), interval.seconds // Interval.M1.seconds)
    last = np.append(first[1:], len(minutes)) - 1
    sums = (minutes.volume, minutes.quote_volume, minutes.trades, minutes.taker_buy_volume)
    # Rounding makes 1h of 5m equal to 1h of 1m in spite of the order of additions.
    volume, quote_volume, trades, taker_buy_volume = (_rounded(np.add.reduceat(c, first), _LOT) for c in sums)
    return Candles(
        interval,
        open_time=minutes.open_time[first],
        open=minutes.open[first],
        high=np.maximum.reduceat(minutes.high, first),
        low=np.minimum.reduceat(minutes.low, first),
        close=minutes.close[last],
        volume=volume,
        quote_volume=quote_volume,
        trades=trades,
        taker_buy_volume=taker_buy_volume,
    )


@lru_cache(maxsize=256)
def _minutes(seed: int, symbol: Symbol, day: int) -> Candles:
    """Return one day of 1m candles; `day` counts from the epoch."""
    scale = _Scale.of(symbol)
    dice = _Dice(seed, symbol, "minutes", day)
    sigma = _minute_volatility(seed, symbol, day)
    path = math.log(scale.price) + _minute_path(seed, symbol, day, sigma, dice)
    prices = _rounded(np.exp(path), scale.decimals)
    opened, close = prices[:-1], prices[1:]
    high, low = _extremes(path, sigma, dice)
    traded = _activity(scale, close / opened - 1, sigma, dice)
    volume = _rounded(traded, _LOT)
    return Candles(
        Interval.M1,
        open_time=_open_times(day),
        open=opened,
        high=np.maximum(_rounded(high, scale.decimals), np.maximum(opened, close)),
        low=np.minimum(_rounded(low, scale.decimals), np.minimum(opened, close)),
        close=close,
        volume=volume,
        quote_volume=_rounded(volume * (opened + close) / 2, _LOT),
        trades=1 + np.floor(volume / scale.volume * 400 * (0.7 + 0.6 * dice.uniform(_MINUTES))),
        taker_buy_volume=_rounded(volume * _taker_share(close / opened - 1, sigma, dice), _LOT),
    )


def _open_times(day: int) -> Times:
    first = np.datetime64(to_ms(EPOCH) + day * _DAY_MS, "ms")
    return first + np.arange(_MINUTES) * Interval.M1.step


def _minute_path(seed: int, symbol: Symbol, day: int, sigma: Floats, dice: _Dice) -> Floats:
    """Return 1441 log prices relative to the first price ever, from the day's open to its close."""
    levels = _levels(seed, symbol, day // _DAYS_PER_BLOCK)
    place = day % _DAYS_PER_BLOCK
    begin, end = float(levels[place]), float(levels[place + 1])
    own = math.sqrt(1 - _MARKET_SHARE**2) * dice.fat_tailed(_MINUTES)
    steps = sigma * (_MARKET_SHARE * _market_shocks(seed, day) + own)
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    elapsed = np.concatenate([[0.0], np.cumsum(sigma**2)]) / np.sum(sigma**2)
    path: Floats = begin + walk + elapsed * (end - begin - walk[-1])
    path[-1] = end  # the next day begins with this very number
    return path


@lru_cache(maxsize=256)
def _market_shocks(seed: int, day: int) -> Floats:
    return _Dice(seed, "market", "minutes", day).fat_tailed(_MINUTES)


@lru_cache(maxsize=64)
def _levels(seed: int, symbol: Symbol, block: int) -> Floats:
    """Return the log price, relative to the first ever, at each midnight of a block of days, both ends included."""
    market = _Dice(seed, "market", "days", block).fat_tailed(_DAYS_PER_BLOCK)
    own = _Dice(seed, symbol, "days", block).fat_tailed(_DAYS_PER_BLOCK)
    shocks = _MARKET_SHARE * market + math.sqrt(1 - _MARKET_SHARE**2) * own
    level = 0.0 if block == 0 else float(_levels(seed, symbol, block - 1)[-1])
    levels = [level]
    for step in shocks * _daily_volatility(seed, block)[:-1]:
        level = _PULL_BACK * level + float(step)
        levels.append(level)
    return np.array(levels)


@lru_cache(maxsize=16)
def _daily_volatility(seed: int, block: int) -> Floats:
    """Return the market's standard deviation of a day's log return; calm and wild weeks follow each other."""
    shocks = _Dice(seed, "volatility", block).normal(_DAYS_PER_BLOCK + 1)
    return _DAILY_VOLATILITY * np.exp(_persistent(shocks, 0.95, 0.40))


def _minute_volatility(seed: int, symbol: Symbol, day: int) -> Floats:
    """Return the standard deviation of each minute's log return: the day's, its hours' pattern, and bursts."""
    daily = _daily_volatility(seed, day // _DAYS_PER_BLOCK)[day % _DAYS_PER_BLOCK]
    quarters = _persistent(_Dice(seed, symbol, "bursts", day).normal(97), 0.9, 0.5)
    bursts = np.exp(np.interp(np.arange(_MINUTES) / 15, np.arange(97), quarters))
    shape = _hours() * bursts
    relative: Floats = shape / math.sqrt(float(np.sum(shape**2)))
    return float(daily) * relative


@lru_cache(maxsize=1)
def _hours() -> Floats:
    """Return how lively each minute of a UTC day is: most when America wakes, least in Europe's night."""
    hour = np.arange(_MINUTES) / 60
    america = np.exp(-(((hour - 14.5) / 2.5) ** 2))
    asia = np.exp(-(((hour - 1.0) / 2.0) ** 2))
    lively: Floats = 0.7 + 0.8 * america + 0.25 * asia
    return lively


def _persistent(shocks: Floats, memory: float, spread: float) -> Floats:
    """Return an autoregressive series with standard deviation `spread`, each value `memory` times the one before."""
    value = spread * float(shocks[0])
    values = [value]
    for shock in shocks[1:]:
        value = memory * value + spread * math.sqrt(1 - memory**2) * float(shock)
        values.append(value)
    return np.array(values)


def _extremes(path: Floats, sigma: Floats, dice: _Dice) -> tuple[Floats, Floats]:
    """Draw high and low as the extremes of a Brownian bridge from open to close, which have a closed form."""
    begin, end = path[:-1], path[1:]
    reach = [np.sqrt((end - begin) ** 2 - 2 * sigma**2 * np.log(dice.uniform(_MINUTES))) for _ in range(2)]
    return np.exp((begin + end + reach[0]) / 2), np.exp((begin + end - reach[1]) / 2)


def _activity(scale: _Scale, returns: Floats, sigma: Floats, dice: _Dice) -> Floats:
    """Draw volumes in the base currency: more in lively minutes and with large moves."""
    lively = sigma / (_DAILY_VOLATILITY / math.sqrt(_MINUTES))
    surprise = np.abs(returns) / sigma
    return scale.volume * lively * (0.6 + 0.4 * surprise) * np.exp(0.6 * dice.normal(_MINUTES))


def _taker_share(returns: Floats, sigma: Floats, dice: _Dice) -> Floats:
    """Draw which part of the volume was bought at the ask; rising minutes see more of it."""
    share: Floats = 0.5 + 0.12 * np.tanh(returns / sigma) + 0.08 * dice.normal(_MINUTES)
    return np.clip(share, 0.02, 0.98)
