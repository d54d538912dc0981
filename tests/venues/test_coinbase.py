"""Coinbase's adapter against a local server that speaks its protocol, and against recorded answers."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from candlecast.candles import Candles, Interval, Series, from_ms
from candlecast.clock import VenueClock
from candlecast.errors import DataError, RateLimited, UnknownSeries, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues import open_venue
from candlecast.venues.coinbase import CoinbaseVenue
from candlecast.venues.http import HttpClient
from tests.making import START, make_candles
from tests.shared import SHARED, requires_shared
from tests.venues.exchange import CoinbaseServer
from tests.venues.hostile import Fault
from tests.venues.pages import joined

SERIES = Series.parse("coinbase:BTC-USD:15m")
CANDLES = make_candles(1000)
END = CANDLES.cutoff
QUARTER = Interval.M15.delta


@pytest.fixture
def server() -> Iterator[CoinbaseServer]:
    with CoinbaseServer({SERIES: CANDLES}, lambda: END) as running:
        yield running


@pytest.fixture
def venue(server: CoinbaseServer) -> Iterator[CoinbaseVenue]:
    opened = CoinbaseVenue(HttpClient(server.url, backoff=0, attempts=3), lambda: server.now())
    yield opened
    opened.close()


def test_pages_join_to_exactly_the_candles_that_were_asked_for(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    start, end = START + 3 * QUARTER, START + 803 * QUARTER
    pages = list(venue.fetch(SERIES, start, end))
    assert joined(pages) == CANDLES[3:803]
    assert [len(page.candles) for page in pages] == [299, 299, 202]
    assert [page.start for page in pages] == [start, *(page.end for page in pages[:-1])]
    assert pages[-1].end == end
    assert {page.source for page in pages} == {"coinbase"}


@pytest.mark.parametrize("end_counts", [True, False])
def test_it_does_not_matter_whether_their_end_counts(
    server: CoinbaseServer, venue: CoinbaseVenue, end_counts: bool
) -> None:
    server.end_counts = end_counts
    assert joined(venue.fetch(SERIES, START, END)) == CANDLES


def test_request_is_spelt_as_the_exchange_spells_it(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    list(venue.fetch(SERIES, START, START + QUARTER))
    assert server.requests[-1].path == "/products/BTC-USD/candles"
    assert server.requests[-1].params == {
        "granularity": "900",
        "start": "2025-09-01T00:00:00+00:00",
        "end": "2025-09-01T00:15:00+00:00",
    }


def test_window_is_one_that_the_exchange_accepts(server: CoinbaseServer) -> None:
    span = {"granularity": "900", "start": START.isoformat(), "end": (START + 301 * QUARTER).isoformat()}
    answer = httpx.get(f"{server.url}/products/BTC-USD/candles", params=span)
    assert answer.status_code == 400
    assert "exceeds 300" in answer.text


def test_candle_that_is_still_open_is_not_taken(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.clock = lambda: START + 10.5 * QUARTER
    [page] = venue.fetch(SERIES, START, START + 20 * QUARTER)
    assert page.candles == CANDLES[:10]
    assert page.end == START + 10 * QUARTER


def test_interval_without_trades_is_a_gap_that_is_answered_for(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    holed = Candles.concatenate([CANDLES[:100], CANDLES[700:]])
    server.truth[SERIES.symbol, SERIES.interval] = holed
    pages = list(venue.fetch(SERIES, START, END))
    assert joined(pages) == holed
    assert [page.start for page in pages] == [START, *(page.end for page in pages[:-1])]
    assert pages[-1].end == END


def test_hole_at_the_very_end_is_not_answered_for_yet(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.truth[SERIES.symbol, SERIES.interval] = CANDLES[:-3]
    *_, last = venue.fetch(SERIES, END - 10 * QUARTER, END)
    assert last.end == END - QUARTER


def test_that_it_has_nothing_is_believed_when_it_says_so_twice(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    venue.now()
    server.play([Fault.EMPTY])
    assert joined(venue.fetch(SERIES, START, START + 10 * QUARTER)) == CANDLES[:10]
    server.play([Fault.EMPTY, Fault.EMPTY])
    [page] = venue.fetch(SERIES, START, START + 10 * QUARTER)
    assert (len(page.candles), page.start, page.end) == (0, START, START + 10 * QUARTER)


def test_rows_from_before_the_start_say_nothing(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.early = 9
    server.truth[SERIES.symbol, SERIES.interval] = CANDLES[:20]
    [page] = venue.fetch(SERIES, START + 20 * QUARTER, START + 30 * QUARTER)
    assert (len(page.candles), page.end) == (0, START + 30 * QUARTER)


def test_row_at_the_end_says_nothing(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.truth[SERIES.symbol, SERIES.interval] = CANDLES[30:]
    [page] = venue.fetch(SERIES, START + 20 * QUARTER, START + 30 * QUARTER)
    assert (len(page.candles), page.end) == (0, START + 30 * QUARTER)


def test_rows_from_after_the_end_are_an_answer_to_something_else(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    venue.now()
    server.fail_next(200, json.dumps([[int(END.timestamp()), 1, 1, 1, 1, 1]]), times=2)
    with pytest.raises(VenueUnavailable, match="other times"):
        list(venue.fetch(SERIES, START, START + QUARTER))


def test_clock_counts_parts_of_a_second(server: CoinbaseServer) -> None:
    server.clock = lambda: END + timedelta(milliseconds=250)
    venue = CoinbaseVenue(HttpClient(server.url, backoff=0), lambda: END - timedelta(hours=1))
    assert venue.now() == END + timedelta(milliseconds=250)
    assert venue.skew() == timedelta(hours=1, milliseconds=250)
    venue.close()


@pytest.mark.parametrize("text", ["coinbase:NOPE-USD:15m", "coinbase:BTC-USDT:15m"])
def test_symbol_that_the_exchange_does_not_have(venue: CoinbaseVenue, text: str) -> None:
    series = Series.parse(text)
    with pytest.raises(UnknownSeries, match="does not have"):
        list(venue.fetch(series, START, END))
    with pytest.raises(UnknownSeries, match="does not have"):
        venue.require(series)
    venue.require(SERIES)


def test_product_that_is_not_traded_any_more(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.fail_next(200, '{"id": "BTC-USD", "status": "delisted"}')
    with pytest.raises(UnknownSeries, match="does not trade BTC-USD now"):
        venue.require(SERIES)


def test_interval_that_the_exchange_does_not_have_is_named_without_asking(
    server: CoinbaseServer, venue: CoinbaseVenue
) -> None:
    series = Series.parse("coinbase:BTC-USD:4h")
    for ask in (lambda: venue.require(series), lambda: list(venue.fetch(series, START, END))):
        with pytest.raises(UnknownSeries, match="no 4h candles; it has 1m, 5m, 15m, 1h, 1d"):
            ask()
    assert server.requests == []


def test_it_stands_in_for_another_venue_that_trades_the_same_pair(venue: CoinbaseVenue) -> None:
    [page] = venue.fetch(Series.parse("kraken:BTC-USD:15m"), START, START + QUARTER)
    assert page.candles == CANDLES[:1]
    assert page.source == "coinbase"


@pytest.mark.parametrize("answer", ["{}", '"soon"', "[[]]", "[[1, 2, 3]]", '{"message": "hello"}'])
def test_answer_that_holds_no_candles_is_unavailable(server: CoinbaseServer, venue: CoinbaseVenue, answer: str) -> None:
    venue.now()
    server.fail_next(200, answer, times=3)
    with pytest.raises(VenueUnavailable):
        list(venue.fetch(SERIES, START, END))


@pytest.mark.parametrize("answer", ["{}", "[]", '{"epoch": "soon"}', '{"epoch": null}', '{"epoch": NaN}'])
def test_time_that_is_no_time_is_unavailable(server: CoinbaseServer, venue: CoinbaseVenue, answer: str) -> None:
    server.fail_next(200, answer, times=3)
    with pytest.raises(VenueUnavailable, match="does not tell its time"):
        venue.now()


def test_rate_limit_is_named(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    server.fail_next(429, '{"message":"Public rate limit exceeded"}', times=3)
    with pytest.raises(RateLimited):
        venue.now()


@requires_shared
@pytest.mark.parametrize(
    ("name", "text", "close"),
    [
        ("exchange-candles-BTC-USDT-1h", "coinbase:BTC-USDT:1h", [73370.65]),
        ("exchange-candles-ETH-USD-1m", "coinbase:ETH-USD:1m", [994.5, 994.5]),
    ],
)
def test_recorded_rows_are_read_in_their_order_of_columns(
    server: CoinbaseServer, venue: CoinbaseVenue, name: str, text: str, close: list[float]
) -> None:
    body = (SHARED / f"data/api-samples/coinbase/{name}.json").read_text()
    first: datetime = from_ms(1000 * json.loads(body)[-1][0])
    venue.now()
    server.fail_next(200, body)
    series = Series.parse(text)
    [page] = venue.fetch(series, first, first + len(close) * series.interval.delta)
    assert page.refused == ()
    assert page.candles.close.tolist() == close
    newest = json.loads(body)[0]
    assert [page.candles.columns()[column][-1] for column in ("low", "high", "open", "close", "volume")] == newest[1:]


@requires_shared
def test_recorded_refusal_of_too_many_candles_is_a_data_error(server: CoinbaseServer, venue: CoinbaseVenue) -> None:
    body = (SHARED / "data/api-samples/coinbase/error-400-granularity.json").read_text()
    venue.now()
    server.fail_next(400, body)
    with pytest.raises(DataError, match="exceeds 300"):
        list(venue.fetch(SERIES, START, END))


def test_open_venue_reads_the_settings(server: CoinbaseServer) -> None:
    venue = open_venue("coinbase", Settings(coinbase_url=server.url, coinbase_pause=0), VenueClock())
    assert venue.name == "coinbase"
    assert joined(venue.fetch(SERIES, START, START + 2 * QUARTER)) == CANDLES[:2]
    venue.close()
