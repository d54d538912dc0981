"""The simulated venue: the same market for whoever asks, and one that looks like a market."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candlecast.candles import Candles, Floats, Interval, Series
from candlecast.clock import VenueClock
from candlecast.errors import UnknownSeries
from candlecast.settings import Settings
from candlecast.venues import open_venue
from candlecast.venues.simulated import EPOCH, START_PRICES, SimulatedVenue

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
BEGIN = EPOCH + 600 * DAY
MINUTE = timedelta(minutes=1)


def series(interval: str = "1m", base: str = "BTC") -> Series:
    return Series.parse(f"simulated:{base}-USDT:{interval}")


def standing(moment: datetime) -> VenueClock:
    """Return a clock that shows `moment` and hardly moves."""
    return VenueClock(start=moment, epoch=datetime.now(UTC), speed=1e-6)


def played(
    start: datetime, end: datetime, of: Series | None = None, *, seed: int = 7, now: datetime | None = None
) -> Candles:
    of = of or series()
    venue = SimulatedVenue(seed, standing(now or EPOCH + 5000 * DAY))
    return Candles.concatenate([Candles.empty(of.interval), *(page.candles for page in venue.fetch(of, start, end))])


FORTNIGHT = played(BEGIN, BEGIN + 14 * DAY)
RETURNS: Floats = np.diff(np.log(FORTNIGHT.close))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 14 * 1440), st.integers(0, 14 * 1440))
def test_any_range_holds_the_same_candles(first: int, last: int) -> None:
    assert played(BEGIN + first * MINUTE, BEGIN + last * MINUTE) == FORTNIGHT[first:last]


def test_market_is_complete_and_continuous_over_days() -> None:
    assert len(FORTNIGHT) == 14 * 1440
    assert FORTNIGHT.gaps() == []
    assert FORTNIGHT.open[1:].tolist() == FORTNIGHT.close[:-1].tolist()


def test_days_join_where_blocks_of_days_do() -> None:
    around = played(EPOCH + 4095 * DAY, EPOCH + 4098 * DAY)
    assert around.open[1:].tolist() == around.close[:-1].tolist()


@pytest.mark.parametrize("interval", ["5m", "15m", "1h", "4h", "1d"])
def test_intervals_agree_with_each_other(interval: str) -> None:
    long = played(BEGIN, BEGIN + 14 * DAY, series(interval))
    rows = (len(long), Interval(interval).seconds // 60)
    assert long.open.tolist() == FORTNIGHT.open.reshape(rows)[:, 0].tolist()
    assert long.high.tolist() == FORTNIGHT.high.reshape(rows).max(axis=1).tolist()
    assert long.low.tolist() == FORTNIGHT.low.reshape(rows).min(axis=1).tolist()
    assert long.close.tolist() == FORTNIGHT.close.reshape(rows)[:, -1].tolist()
    for name in ("volume", "quote_volume", "trades", "taker_buy_volume"):
        parts = FORTNIGHT.columns()[name].reshape(rows).sum(axis=1)
        np.testing.assert_allclose(long.columns()[name], parts, rtol=0, atol=1e-5)


def test_market_does_not_depend_on_the_process() -> None:
    program = (
        "from tests.venues.test_simulated import *;"
        "print(played(BEGIN + 5 * DAY, BEGIN + 5 * DAY + 3 * MINUTE).close.tolist())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert other.stdout.strip() == str(FORTNIGHT.close[5 * 1440 : 5 * 1440 + 3].tolist())


def test_market_stays_the_one_it_was() -> None:
    # Stored candles would no longer fit what comes next. Change this only together with a new venue's name or seed.
    first = played(EPOCH, EPOCH + 2 * MINUTE)
    assert first.open.tolist() == [60000.0, 59988.05]
    assert FORTNIGHT.close[-1] == 70671.22


def test_seed_and_symbol_choose_the_market() -> None:
    assert played(BEGIN, BEGIN + DAY, seed=8) != FORTNIGHT[:1440]
    assert played(BEGIN, BEGIN + DAY, series(base="ETH")) != FORTNIGHT[:1440]


@pytest.mark.parametrize(("early", "count"), [(timedelta(0), 10), (timedelta(seconds=1), 9)])
def test_only_what_is_closed_by_the_venues_clock_is_played(early: timedelta, count: int) -> None:
    assert played(BEGIN, BEGIN + DAY, now=BEGIN + 10 * MINUTE - early) == FORTNIGHT[:count]


def test_longer_candle_is_not_played_before_it_closes() -> None:
    assert len(played(BEGIN, BEGIN + DAY, series("1h"), now=BEGIN + 119 * MINUTE)) == 1


def test_there_is_nothing_before_the_first_day() -> None:
    assert len(played(EPOCH - 30 * DAY, EPOCH)) == 0
    assert played(EPOCH - 30 * DAY, EPOCH + DAY).open_time[0] == np.datetime64("2024-01-01", "ms")


def test_pages_follow_each_other() -> None:
    venue = SimulatedVenue(7, standing(BEGIN + 30 * DAY))
    pages = [page.candles for page in venue.fetch(series("1h"), BEGIN, BEGIN + 30 * DAY)]
    assert len(pages) > 2
    assert all(before.cutoff == after.cutoff - len(after) * Interval.H1.delta for before, after in pairwise(pages))


@pytest.mark.parametrize("wrong", ["simulated:NOPE-USDT:1m", "simulated:BTC-EUR:1m", "binance:BTC-USDT:1m"])
def test_unknown_series_is_named_with_those_that_exist(wrong: str) -> None:
    with pytest.raises(UnknownSeries, match="BTC-USDT, ETH-USDT"):
        played(BEGIN, BEGIN + DAY, Series.parse(wrong))


@pytest.mark.parametrize("base", START_PRICES)
def test_every_symbol_starts_at_its_price(base: str) -> None:
    assert played(EPOCH, EPOCH + MINUTE, series(base=base)).open.tolist() == [START_PRICES[base]]


def test_volumes_are_possible() -> None:
    assert (FORTNIGHT.volume > 0).all()
    assert (FORTNIGHT.trades >= 1).all()
    assert (FORTNIGHT.taker_buy_volume <= FORTNIGHT.volume).all()
    price = FORTNIGHT.quote_volume / FORTNIGHT.volume
    assert (price >= FORTNIGHT.low - 1e-2).all()
    assert (price <= FORTNIGHT.high + 1e-2).all()


def test_returns_have_fat_tails() -> None:
    assert float(np.mean((RETURNS - RETURNS.mean()) ** 4) / RETURNS.var() ** 2) > 6


def test_calm_and_wild_minutes_cluster() -> None:
    size = np.abs(RETURNS)
    assert np.corrcoef(size[30:], size[:-30])[0, 1] > 0.1


def test_direction_cannot_be_told_from_the_minute_before() -> None:
    assert abs(np.corrcoef(RETURNS[1:], RETURNS[:-1])[0, 1]) < 0.04


def test_day_has_its_lively_hours() -> None:
    by_hour = (FORTNIGHT.high - FORTNIGHT.low).reshape(14, 24, 60).mean(axis=(0, 2))
    assert by_hour[13:17].mean() > 1.3 * by_hour[5:10].mean()


def test_daily_and_minute_volatility_fit() -> None:
    hundred = played(BEGIN, BEGIN + 100 * DAY)
    minute = np.diff(np.log(hundred.close)).std() * np.sqrt(1440)
    daily = np.diff(np.log(hundred.close[1439::1440])).std()
    assert 0.6 < daily / minute < 1.6
    assert 0.01 < daily < 0.08


def test_symbols_move_together_but_not_alike() -> None:
    other = played(BEGIN, BEGIN + 14 * DAY, series(base="ETH"))
    assert 0.3 < np.corrcoef(RETURNS, np.diff(np.log(other.close)))[0, 1] < 0.8


def test_price_stays_believable_for_years() -> None:
    years = played(EPOCH, EPOCH + 1500 * DAY, series("1d"))
    assert 60_000 / 20 < years.close.min() < years.close.max() < 60_000 * 20


def test_open_venue_takes_the_seed_from_the_settings() -> None:
    venue = open_venue("simulated", Settings(simulated_seed=7), standing(BEGIN + DAY))
    assert abs(venue.now() - BEGIN - DAY) < timedelta(seconds=1)
    [page] = venue.fetch(series(), BEGIN, BEGIN + DAY)
    assert page.candles == FORTNIGHT[:1440]
    assert page.source == "simulated"
    venue.close()


def test_venue_needs_no_http_client() -> None:
    program = (
        "import sys, candlecast.venues, candlecast.venues.simulated, candlecast.venues.replay;"
        "sys.exit('httpx' in sys.modules or 'pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
