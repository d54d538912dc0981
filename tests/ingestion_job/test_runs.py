"""Runs of ingestion in this process against real servers: what is asked of whom, and what is written down about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.spans import Span
from candlecast.store import candles as store
from candlecast.store import prices, runs, sources
from candlecast.store.database import Database
from tests.ingestion_job.world import World, different, open_times
from tests.making import START, make_candles
from tests.venues.archive import ArchiveServer
from tests.venues.exchange import BinanceServer, CoinbaseServer, CoinGeckoServer, KrakenServer
from tests.venues.hostile import Exchange, Fault, complete, restated

BTC = Series.parse("binance:BTC-USDT:1h")
ETH = Series.parse("binance:ETH-USDT:1h")
BTC_KRAKEN = Series.parse("kraken:BTC-USDT:1h")
HOUR = timedelta(hours=1)
TRUTH = complete(make_candles(2500, Interval.H1))
OTHER = complete(make_candles(2500, Interval.H1, seed=2))
HOLED = Candles.concatenate([TRUTH[:200], TRUTH[201:]])
GONE = START + 200 * HOUR
PRICES = ("open", "high", "low", "close", "volume")
STAND_INS: dict[str, Any] = {"fallbacks": "binance:BTC-USDT=kraken:BTC-USDT coinbase:BTC-USDT"}


class Exchanges:
    """Servers of every source, by the source's name, and the clock that all of them show."""

    def __init__(self, stack: ExitStack) -> None:
        self.now = START + 500 * HOUR + timedelta(minutes=10)
        truths = {
            "binance": (BinanceServer, {BTC: TRUTH, ETH: OTHER}),
            "binance_archive": (ArchiveServer, {BTC: TRUTH, ETH: OTHER}),
            "coinbase": (CoinbaseServer, {BTC: OTHER}),
            "kraken": (KrakenServer, {BTC: OTHER}),
        }
        self.of: dict[str, Exchange] = {
            name: stack.enter_context(server(truth, lambda: self.now)) for name, (server, truth) in truths.items()
        }

    def asked(self, name: str) -> int:
        """Return how many requests a source has got."""
        return len(self.of[name].requests)


@pytest.fixture
def exchanges() -> Iterator[Exchanges]:
    with ExitStack() as stack:
        yield Exchanges(stack)


@pytest.fixture
def world(database: Database, exchanges: Exchanges) -> World:
    made = World(database)
    made.settings |= {f"{name}_url": server.url for name, server in exchanges.of.items()}
    made.settings |= {"coingecko_url": "", "coinbase_pause": 0, "kraken_pause": 0, "venue_timeout": 5}
    made.settings |= {"backfill_days": 20.5, "gap_recheck_days": (1, 7, 30)}
    return made


def visible(candles: Candles, exchanges: Exchanges) -> Candles:
    """Return the candles that a window of 20 days and a half holds now."""
    return candles.closed(exchanges.now).between(Interval.H1.floor(exchanges.now - timedelta(days=20.5)), exchanges.now)


def test_a_hole_in_the_middle_is_found_and_filled(world: World, exchanges: Exchanges) -> None:
    assert world.ingest(BTC).exit_code == 0
    _delete(world.database, START + 100 * HOUR, START + 103 * HOUR)
    outcome = world.ingest(BTC)
    assert (outcome.exit_code, outcome.row.done, outcome.row.target, outcome.row.rows) == (0, 3, 3, 3)
    assert world.stored(BTC) == visible(TRUTH, exchanges)


def test_what_is_there_is_not_asked_for_again(world: World, exchanges: Exchanges) -> None:
    world.ingest(BTC)
    exchanges.of["binance"].forget()
    assert world.ingest(BTC).row.rows == 0
    assert [request.path for request in exchanges.of["binance"].requests] == ["/api/v3/time"]
    assert exchanges.asked("binance_archive") == 0


def test_a_gap_of_the_venue_is_confirmed_with_evidence_and_asked_for_again_ever_later(
    world: World, exchanges: Exchanges
) -> None:
    for name in ("binance", "binance_archive"):
        exchanges.of[name].truth[BTC.symbol, BTC.interval] = HOLED
    for days in (1, 7, 30, 30):
        outcome = world.ingest(BTC)
        assert (outcome.exit_code, outcome.failures) == (0, {})
        assert "1 that their venue does not have" in str(outcome.row.message)
        (gap,) = world.confirmed(BTC, _whole(exchanges))
        assert (gap.span.start, gap.span.end) == (GONE, GONE + HOUR)
        assert "binance answered without it" in gap.because.evidence
        assert "binance_archive answered without it" in gap.because.evidence
        assert gap.because.recheck_at - gap.because.confirmed_at == timedelta(days=days)
        exchanges.of["binance"].forget()
        world.ingest(BTC)
        assert [request.path for request in exchanges.of["binance"].requests] == ["/api/v3/time"], "not asked before"
        _wait(world, exchanges, timedelta(days=days, minutes=1))


def test_a_gap_that_the_venue_fills_later_is_no_gap_any_more(world: World, exchanges: Exchanges) -> None:
    for name in ("binance", "binance_archive"):
        exchanges.of[name].truth[BTC.symbol, BTC.interval] = HOLED
    world.ingest(BTC)
    assert world.confirmed(BTC, _whole(exchanges))
    exchanges.of["binance"].truth[BTC.symbol, BTC.interval] = TRUTH
    _wait(world, exchanges, timedelta(days=1, minutes=1))
    assert world.ingest(BTC).exit_code == 0
    assert world.confirmed(BTC, _whole(exchanges)) == []
    assert GONE in open_times(world.stored(BTC))


def test_a_row_that_cannot_be_right_is_not_stored_and_the_evidence_says_so(world: World, exchanges: Exchanges) -> None:
    exchanges.of["binance"].play([None, *[Fault.CONTRADICTORY] * 5])
    outcome = world.ingest(BTC, binance_archive_url="")
    assert outcome.exit_code == 0
    (gap,) = world.confirmed(BTC, _whole(exchanges))
    assert gap.span.candles(BTC.interval) == 1
    assert gap.because.evidence == "binance gave 1 row that cannot be right (high is below open or close)"
    assert open_times(visible(TRUTH, exchanges)) - open_times(world.stored(BTC)) == {gap.span.start}


def test_what_the_exchange_forgot_comes_from_its_archive(world: World, exchanges: Exchanges) -> None:
    exchanges.of["binance"].truth[BTC.symbol, BTC.interval] = HOLED
    assert world.ingest(BTC).exit_code == 0
    assert world.stored(BTC) == visible(TRUTH, exchanges)
    assert {moment for moment, name in world.sources(BTC).items() if name == "binance_archive"} == {GONE}


def test_a_restated_candle_among_the_newest_is_corrected(world: World, exchanges: Exchanges) -> None:
    world.ingest(BTC)
    changed = restated(TRUTH, 497)
    exchanges.of["binance"].truth[BTC.symbol, BTC.interval] = changed
    _wait(world, exchanges, HOUR)
    assert world.ingest(BTC).row.rows == 2
    assert different(world.stored(BTC), changed) == set()
    assert world.corrections(BTC) == [(START + 497 * HOUR, "binance", "binance")]


def test_what_is_stored_is_read_again_when_somebody_asks_for_that(world: World, exchanges: Exchanges) -> None:
    world.ingest(BTC)
    changed = restated(TRUTH, 100)
    exchanges.of["binance"].truth[BTC.symbol, BTC.interval] = changed
    start = (START + 90 * HOUR).isoformat()
    assert world.ingest(BTC, parameters={"start": start}).row.rows == 0
    assert world.ingest(BTC, parameters={"start": start, "again": True}).row.rows == 1
    assert different(world.stored(BTC), changed) == set()


def test_fall_backs_stand_in_for_a_banned_venue_and_are_replaced_when_it_answers_again(
    world: World, exchanges: Exchanges
) -> None:
    assert world.ingest(BTC, **STAND_INS).exit_code == 0
    _wait(world, exchanges, 2 * HOUR)
    exchanges.of["binance"].play([Fault.BAN])
    outcome = world.ingest(BTC, **STAND_INS)
    assert (outcome.exit_code, outcome.failures) == (0, {})
    assert "2 of them from venues that stand in" in str(outcome.row.message)
    borrowed = {START + hour * HOUR for hour in range(500, 502)}
    assert {moment for moment, name in world.sources(BTC).items() if name == "kraken"} == borrowed
    assert different(world.stored(BTC)[-2:], OTHER, PRICES) == set()

    exchanges.of["binance"].forget()
    _wait(world, exchanges, HOUR)
    assert world.ingest(BTC, **STAND_INS).exit_code == 0
    assert exchanges.asked("binance") == 0, "a new run remembers the ban"

    world.forget_bans()
    assert world.ingest(BTC, **STAND_INS).exit_code == 0
    assert world.stored(BTC)[-50:] == TRUTH.closed(exchanges.now)[-50:]
    assert set(world.sources(BTC).values()) == {"binance"}
    assert len(world.corrections(BTC)) == 3
    assert {(old, new) for _, old, new in world.corrections(BTC)} == {("kraken", "binance")}


@pytest.mark.parametrize("fault", [Fault.RESTRICTED, Fault.FORBIDDEN, Fault.SERVER_ERROR])
def test_the_next_fall_back_is_asked_when_the_first_does_not_answer_either(
    world: World, exchanges: Exchanges, fault: Fault
) -> None:
    world.know_clock("binance", exchanges.now)
    exchanges.of["binance"].play([fault] * 30)
    exchanges.of["kraken"].play([Fault.RESTRICTED] * 30)
    assert world.ingest(BTC, binance_archive_url="", **STAND_INS).exit_code == 0
    assert set(world.sources(BTC).values()) == {"coinbase"}


def test_without_fall_backs_a_run_says_what_is_missing_and_why(world: World, exchanges: Exchanges) -> None:
    world.know_clock("binance", exchanges.now)
    exchanges.of["binance"].play([Fault.RESTRICTED] * 3)
    outcome = world.ingest(BTC, binance_archive_url="")
    assert outcome.exit_code == 75
    assert outcome.row.error_code == "restricted_location"
    assert "492 candles missing from 2025-09-01 08:00 to 2025-09-21 20:00" in str(outcome.row.error)
    assert "451" in str(outcome.row.error)


def test_a_fall_back_never_fills_a_gap_that_the_venue_has_itself(world: World, exchanges: Exchanges) -> None:
    for name in ("binance", "binance_archive"):
        exchanges.of[name].truth[BTC.symbol, BTC.interval] = HOLED
    assert world.ingest(BTC, **STAND_INS).exit_code == 0
    assert GONE not in open_times(world.stored(BTC))
    assert exchanges.asked("kraken") == 0


def test_a_backfill_of_any_range_goes_on_where_it_was(world: World, exchanges: Exchanges) -> None:
    asked = {"series": [str(BTC)], "start": START.isoformat(), "end": (START + 100 * HOUR).isoformat()}
    outcome = world.ingest(ETH, BTC, parameters=asked)
    assert (outcome.exit_code, outcome.row.done, outcome.row.target, outcome.row.rows) == (0, 100, 100, 100)
    assert world.stored(BTC) == TRUTH[:100]
    assert len(world.stored(ETH)) == 0
    asked["end"] = (START + 120 * HOUR).isoformat()
    outcome = world.ingest(ETH, BTC, parameters=asked)
    assert (outcome.row.done, outcome.row.target, outcome.row.rows) == (20, 20, 20)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"start": "yesterday"}, "yesterday"), ({"start": "2025-09-02", "end": "2025-09-01"}, "is not before end")],
)
def test_bounds_that_make_no_sense_are_named(world: World, wrong: dict[str, str], named: str) -> None:
    outcome = world.ingest(BTC, parameters=wrong)
    assert outcome.exit_code == 64
    assert named in str(outcome.row.error)


def test_a_run_may_add_a_series_that_its_venue_trades(world: World, exchanges: Exchanges) -> None:
    assert world.ingest(BTC, parameters={"series": [str(ETH)]}).exit_code == 0
    assert world.stored(ETH) == visible(OTHER, exchanges)
    with world.database.begin() as connection:
        assert store.active_series(connection, [BTC]) == (BTC, ETH)
    world.ingest(BTC)
    assert len(world.stored(BTC)) == len(world.stored(ETH)), "it is ingested from now on"


def test_a_series_that_its_venue_does_not_trade_is_not_added(world: World, exchanges: Exchanges) -> None:
    doge = Series.parse("binance:DOGE-USDT:1h")
    outcome = world.ingest(BTC, parameters={"series": [str(doge), str(BTC)]})
    assert (outcome.exit_code, outcome.row.error_code, outcome.row.failed) == (65, "unknown_series", 1)
    assert world.stored(BTC) == visible(TRUTH, exchanges), "the others go on"
    with world.database.begin() as connection:
        assert store.active_series(connection, [BTC]) == (BTC,)


def test_more_series_than_the_settings_allow_are_refused(world: World, exchanges: Exchanges) -> None:
    outcome = world.ingest(BTC, parameters={"series": [str(ETH)]}, max_series=1)
    assert outcome.exit_code == 64
    assert "CANDLECAST_MAX_SERIES" in str(outcome.row.error)
    assert exchanges.asked("binance") == 0


def test_a_slow_venue_holds_up_nobody_else(world: World, exchanges: Exchanges) -> None:
    """Binance answers only once everything of Kraken is stored."""
    kraken_is_done = threading.Event()
    clock = exchanges.of["binance"].clock

    def patient() -> datetime:
        assert kraken_is_done.wait(60)
        return clock()  # type: ignore[operator]  # a function, as the fixture made it

    exchanges.of["binance"].clock = patient

    def watch() -> None:
        while not kraken_is_done.is_set():
            if len(world.stored(BTC_KRAKEN)) >= 490:
                kraken_is_done.set()
            kraken_is_done.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert world.ingest(BTC, BTC_KRAKEN, venue_timeout=60).exit_code == 0
    finally:
        kraken_is_done.set()
        watcher.join()
    assert world.stored(BTC) == visible(TRUTH, exchanges)


def test_cancelling_stops_every_thread_after_its_chunk(world: World, exchanges: Exchanges) -> None:
    minutes = {Series.parse(f"binance:{base}-USDT:1m"): make_candles(20_000, Interval.M1) for base in ("BTC", "ETH")}
    server = exchanges.of["binance"]
    server.truth = {(series.symbol, series.interval): complete(candles) for series, candles in minutes.items()}
    exchanges.now = START + timedelta(minutes=20_000)
    answered = server.answer

    def answer(*asked: object) -> object:
        if len(server.requests) == 8:
            with world.database.begin() as connection:
                runs.cancel(connection, 1)
        return answered(*asked)  # type: ignore[arg-type]  # passed on as it came

    server.answer = answer  # type: ignore[method-assign, assignment]  # somebody cancels while it is being asked
    outcome = world.ingest(*minutes, parameters={}, binance_archive_url="")
    assert (outcome.exit_code, outcome.row.state) == (0, "cancelled")
    assert len(server.requests) < 30
    for series, candles in minutes.items():
        assert different(world.stored(series), complete(candles)) == set()


def test_the_exchanges_clock_is_measured_and_remembered(world: World, exchanges: Exchanges) -> None:
    world.ingest(BTC)
    with world.database.begin() as connection:
        (status,) = sources.statuses(connection)
    assert status.source == "binance"
    assert status.skew is not None
    assert status.skew_at is not None
    assert abs(status.skew - (exchanges.now - status.skew_at)) < timedelta(minutes=1)


def test_last_prices_are_checked_and_their_failure_is_no_failure(world: World, exchanges: Exchanges) -> None:
    close = float(TRUTH.closed(exchanges.now).close[-1])
    with CoinGeckoServer({"bitcoin": {"usd": 2 * close}}, lambda: exchanges.now) as gecko:
        settings: dict[str, Any] = {"coingecko_url": gecko.url, "coingecko_pause": 0}
        assert world.ingest(BTC, **settings).exit_code == 0
        with world.database.begin() as connection:
            (price,) = prices.latest(connection)
        assert (price.price.source, price.disagrees, price.disagreements) == ("coingecko", True, 1)
        gecko.play([Fault.SERVER_ERROR] * 5)
        assert world.ingest(BTC, **settings).exit_code == 0


def _whole(exchanges: Exchanges) -> Span:
    return Span(START, Interval.H1.floor(exchanges.now))


def _wait(world: World, exchanges: Exchanges, time: timedelta) -> None:
    """Let time pass; the window grows with it, so that it begins where it began."""
    exchanges.now += time
    world.settings["backfill_days"] += time / timedelta(days=1)


def _delete(database: Database, start: datetime, end: datetime) -> None:
    with database.begin() as connection:
        condition = "open_time >= :start AND open_time < :end"
        connection.execute(text(f"DELETE FROM candle WHERE {condition}"), {"start": start, "end": end})  # noqa: S608
