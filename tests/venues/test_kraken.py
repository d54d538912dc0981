"""Kraken's adapter against a local server that speaks its protocol, and against recorded answers."""

import json
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from candlecast.candles import Interval, Series, from_ms
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, RateLimited, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues import open_venue
from candlecast.venues.http import HttpClient
from candlecast.venues.kraken import KrakenVenue
from tests.making import START, make_candles
from tests.shared import SHARED, requires_shared
from tests.venues.exchange import KrakenServer, kraken_error
from tests.venues.hostile import Fault
from tests.venues.pages import prices

SERIES = Series.parse("kraken:BTC-USD:15m")
CANDLES = make_candles(1001)
END = CANDLES.cutoff
NOW = END - Interval.M15.delta / 2
QUARTER = Interval.M15.delta


@pytest.fixture
def server() -> Iterator[KrakenServer]:
    with KrakenServer({SERIES: CANDLES}, lambda: NOW) as running:
        yield running


@pytest.fixture
def venue(server: KrakenServer) -> Iterator[KrakenVenue]:
    opened = KrakenVenue(HttpClient(server.url, backoff=0, attempts=3), lambda: server.now())
    yield opened
    opened.close()


def test_one_page_holds_what_was_asked_for(venue: KrakenVenue) -> None:
    start, end = START + 700 * QUARTER, START + 900 * QUARTER
    [page] = venue.fetch(SERIES, start, end)
    assert prices(page.candles) == CANDLES[700:900]
    assert (page.start, page.end, page.source) == (start, end, "kraken")


def test_only_what_the_newest_720_reach_is_answered_for(venue: KrakenVenue) -> None:
    [page] = venue.fetch(SERIES, START, END)
    assert len(page.candles) == 719
    assert prices(page.candles) == CANDLES[281:1000]
    assert (page.start, page.end) == (START + 281 * QUARTER, START + 1000 * QUARTER)
    assert list(venue.fetch(SERIES, START, START + 281 * QUARTER)) == []


@pytest.mark.parametrize("fault", [None, Fault.SHUFFLED, Fault.DUPLICATED])
def test_last_row_is_never_taken_even_when_its_time_is_over(
    server: KrakenServer, venue: KrakenVenue, fault: Fault | None
) -> None:
    server.clock = lambda: END
    venue.now()
    server.play([fault])
    [page] = venue.fetch(SERIES, END - 5 * QUARTER, END)
    assert prices(page.candles) == CANDLES[-5:-1]
    assert page.end == END - QUARTER


def test_candle_that_closes_while_the_answer_travels_is_not_taken(server: KrakenServer) -> None:
    server.clock = lambda: START + 10.9 * QUARTER
    venue = KrakenVenue(HttpClient(server.url, backoff=0), lambda: START + 10.9 * QUARTER)
    venue.now()
    server.clock = lambda: START + 12.1 * QUARTER
    [page] = venue.fetch(SERIES, START, END)
    assert prices(page.candles) == CANDLES[:10]
    assert page.end == START + 10 * QUARTER
    venue.close()


def test_request_is_spelt_as_the_exchange_spells_it(server: KrakenServer, venue: KrakenVenue) -> None:
    start = END - 5 * QUARTER
    list(venue.fetch(SERIES, start, END))
    assert server.requests[-1].path == "/0/public/OHLC"
    assert server.requests[-1].params == {
        "pair": "XBTUSD",
        "interval": "15",
        "since": str(int((start - QUARTER).timestamp())),
    }


def test_trades_arrive_and_what_it_does_not_give_is_missing(server: KrakenServer, venue: KrakenVenue) -> None:
    columns = CANDLES.columns() | {"trades": np.arange(len(CANDLES), dtype=np.float64)}
    server.truth[SERIES.symbol, SERIES.interval] = type(CANDLES)(Interval.M15, **columns)
    [page] = venue.fetch(SERIES, START + 990 * QUARTER, END)
    assert page.candles.trades.tolist() == list(range(990, 1000))
    assert np.isnan(page.candles.quote_volume).all()
    assert np.isnan(page.candles.taker_buy_volume).all()


def test_nothing_is_asked_when_no_candle_can_have_closed(server: KrakenServer, venue: KrakenVenue) -> None:
    assert list(venue.fetch(SERIES, END - QUARTER, END)) == []
    assert [request.path for request in server.requests] == ["/0/public/Time"]


def test_empty_answer_answers_for_nothing(server: KrakenServer, venue: KrakenVenue) -> None:
    venue.now()
    server.play([Fault.EMPTY])
    assert list(venue.fetch(SERIES, END - 5 * QUARTER, END)) == []


@pytest.mark.parametrize(
    ("error", "expected", "requests"),
    [
        ("EQuery:Unknown asset pair", UnknownSeries, 1),
        ("EGeneral:Invalid arguments", DataError, 1),
        ("EAPI:Invalid key", DataError, 1),
        ("EAPI:Rate limit exceeded", RateLimited, 3),
        ("EGeneral:Too many requests", RateLimited, 3),
        ("EService:Unavailable", VenueUnavailable, 3),
        ("EService:Busy", VenueUnavailable, 3),
        ("EGeneral:Internal error", VenueUnavailable, 3),
    ],
)
def test_error_inside_an_answer_of_status_200_is_an_error(
    server: KrakenServer, venue: KrakenVenue, error: str, expected: type[CandlecastError], requests: int
) -> None:
    venue.now()
    server.play([kraken_error(error)] * requests)
    with pytest.raises(expected) as caught:
        list(venue.fetch(SERIES, START, END))
    assert type(caught.value) is expected
    assert server.unspent == 0
    assert len(server.requests) == 1 + requests


def test_passing_error_is_tried_again(server: KrakenServer, venue: KrakenVenue) -> None:
    server.play([kraken_error("EService:Busy"), kraken_error("EAPI:Rate limit exceeded")])
    assert venue.now() == from_ms(int(NOW.timestamp()) * 1000)


@pytest.mark.parametrize(
    "answer", ["[]", "{}", '{"error": []}', '{"error": [], "result": {"last": 1}}', '{"error": 3}']
)
def test_answer_without_candles_is_unavailable(server: KrakenServer, venue: KrakenVenue, answer: str) -> None:
    venue.now()
    server.fail_next(200, answer, times=3)
    with pytest.raises(VenueUnavailable):
        list(venue.fetch(SERIES, START, END))


def test_clock_is_never_ahead_although_it_counts_whole_seconds(server: KrakenServer) -> None:
    server.clock = lambda: NOW + timedelta(milliseconds=900)
    venue = KrakenVenue(HttpClient(server.url, backoff=0), lambda: NOW)
    assert venue.now() == NOW
    assert venue.skew() == timedelta()
    venue.close()


def test_symbol_that_the_exchange_does_not_have(venue: KrakenVenue) -> None:
    with pytest.raises(UnknownSeries, match="kraken does not have NOPE-USD"):
        venue.require(Series.parse("kraken:NOPE-USD:15m"))
    venue.require(SERIES)


def test_pair_that_is_not_traded_any_more(server: KrakenServer, venue: KrakenVenue) -> None:
    server.fail_next(200, '{"error": [], "result": {"XXBTZUSD": {"status": "cancel_only"}}}')
    with pytest.raises(UnknownSeries, match="does not trade BTC-USD now"):
        venue.require(SERIES)


def test_it_stands_in_for_another_venue_that_trades_the_same_pair(server: KrakenServer, venue: KrakenVenue) -> None:
    theirs = Series.parse("binance:BTC-USDT:1h")
    hours = make_candles(30, Interval.H1)
    server.truth[theirs.symbol, theirs.interval] = hours
    server.clock = lambda: hours.cutoff
    [page] = venue.fetch(theirs, START, hours.cutoff)
    assert prices(page.candles) == hours[:-1]
    assert page.source == "kraken"


@requires_shared
def test_recorded_answer_is_read_and_its_gap_answered_for(server: KrakenServer, venue: KrakenVenue) -> None:
    body = (SHARED / "data/api-samples/kraken/OHLC-XBTUSDT-1h.json").read_text()
    rows = json.loads(body)["result"]["XBTUSDT"]
    first, last = from_ms(1000 * rows[0][0]), from_ms(1000 * rows[-1][0])
    server.clock = lambda: last + timedelta(minutes=10)
    venue.now()
    server.fail_next(200, body)
    [page] = venue.fetch(Series.parse("kraken:BTC-USDT:1h"), first - timedelta(hours=9), last + timedelta(hours=1))
    assert page.candles.close.tolist() == [float(row[4]) for row in rows[:-1]]
    assert page.candles.volume.tolist() == [float(row[6]) for row in rows[:-1]]
    assert page.candles.trades.tolist() == [row[7] for row in rows[:-1]]
    assert (page.start, page.end) == (first, last)
    assert page.refused == ()


@requires_shared
def test_minutes_without_trades_are_candles_too(server: KrakenServer, venue: KrakenVenue) -> None:
    body = (SHARED / "data/api-samples/kraken/OHLC-XBTUSDT-1m-excerpt.json").read_text()
    rows = json.loads(body)["result"]["XBTUSDT"]
    first, last = from_ms(1000 * rows[0][0]), from_ms(1000 * rows[-1][0])
    server.clock = lambda: last + timedelta(seconds=10)
    venue.now()
    server.fail_next(200, body)
    [page] = venue.fetch(Series.parse("kraken:BTC-USDT:1m"), first, last)
    assert len(page.candles) == 59
    assert page.candles.volume[0] == 0
    assert page.refused == ()


@requires_shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error-200-unknown-pair", UnknownSeries),
        ("error-200-too-many-requests", RateLimited),
        ("error-200-invalid-arguments", DataError),
    ],
)
def test_recorded_failures_are_failures(
    server: KrakenServer, venue: KrakenVenue, name: str, expected: type[CandlecastError]
) -> None:
    body = (SHARED / f"data/api-samples/kraken/{name}.json").read_text()
    venue.now()
    server.fail_next(200, body, times=3)
    with pytest.raises(expected):
        list(venue.fetch(SERIES, START, END))


def test_open_venue_reads_the_settings(server: KrakenServer) -> None:
    venue = open_venue("kraken", Settings(kraken_url=server.url, kraken_pause=0), VenueClock())
    assert venue.name == "kraken"
    assert abs(venue.now() - NOW) < timedelta(seconds=30)
    venue.close()


def test_each_of_several_processes_waits_for_the_turns_of_all(server: KrakenServer) -> None:
    waits: list[float] = []
    settings = Settings(kraken_url=server.url, kraken_pause=1, ingestion_parallelism=3)
    venue = open_venue("kraken", settings, VenueClock(), sleep=waits.append)
    for _ in range(2):
        venue.require(SERIES)
    venue.close()
    assert waits == [pytest.approx(3, abs=0.9)]
