from datetime import UTC, datetime, timedelta

import pytest

from candlecast.candles import Interval, Series
from candlecast.clock import VenueClock
from candlecast.settings import load_settings
from candlecast.store import candles as candle_store
from candlecast.store import ledger, models
from candlecast.store.clocks import read_clock, resume_clock, start_clock, venue_clock
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from tests.making import START, make_candles, make_forecast

SERIES = Series.parse("replay:BTC-USDT:15m")
SOON = timedelta(seconds=30)


def test_a_venue_without_a_row_runs_by_the_wall_clock(database: Database) -> None:
    with database.begin() as connection:
        assert read_clock(connection, "binance") == VenueClock()
        assert venue_clock(connection, "binance", load_settings()) == VenueClock()
        assert resume_clock(connection, "replay", speed=5) == VenueClock()


def test_the_replays_clock_starts_when_it_is_asked_for_and_only_once(database: Database) -> None:
    settings = load_settings(replay_start=START, replay_speed=60)
    with database.begin() as connection:
        first = venue_clock(connection, "replay", settings)
    with database.begin() as connection:
        again = start_clock(connection, "replay", start=START + timedelta(days=9), speed=7)
    assert (first.start, first.speed) == (START, 60)
    assert abs(first.epoch - datetime.now(UTC)) < SOON
    assert again == first


@pytest.mark.parametrize("written_down", [False, True])
def test_a_resumed_clock_goes_on_from_the_last_thing_it_saw(database: Database, written_down: bool) -> None:
    candles = make_candles(3)
    learned = candles.cutoff + timedelta(minutes=1)
    issued = learned + timedelta(minutes=2)
    with database.begin() as connection:
        start_clock(connection, "replay", start=START, speed=60)
        candle_store.upsert(connection, SERIES, candles, source="test", now=learned)
        if written_down:
            models.register_naive(connection)
            said = make_forecast(candles.cutoff, Interval.M15)
            ledger.record(connection, SERIES, [Entry(said, models.NAIVE, "baseline", issued)])
    with database.begin() as connection:
        resumed = resume_clock(connection, "replay", speed=5)
    assert resumed.start == (issued if written_down else learned)
    assert resumed.speed == 5
    assert abs(resumed.epoch - datetime.now(UTC)) < SOON


def test_a_resumed_clock_that_saw_nothing_starts_where_it_started(database: Database) -> None:
    with database.begin() as connection:
        start_clock(connection, "replay", start=START, speed=60)
        assert resume_clock(connection, "replay", speed=5).start == START
