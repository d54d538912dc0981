"""Binance's adapter against a local server that speaks its protocol, and against recorded answers."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series, from_ms, to_ms
from candlecast.clock import VenueClock
from candlecast.errors import (
    CandlecastError,
    ConfigurationError,
    DataError,
    RateLimited,
    RestrictedLocation,
    UnknownSeries,
    VenueUnavailable,
)
from candlecast.settings import Settings
from candlecast.venues import open_venue
from candlecast.venues.base import Fetched
from candlecast.venues.binance import BinanceVenue
from candlecast.venues.http import Answer, HttpClient
from tests.making import START, make_candles
from tests.shared import SHARED, requires_shared
from tests.venues import exchange
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import Fault

SERIES = Series.parse("binance:BTC-USDT:15m")
CANDLES = make_candles(2500)
END = CANDLES.cutoff
QUARTER = Interval.M15.delta
A_MINUTE = timedelta(minutes=1)


class Sleeps(list[float]):
    """What would have been slept, in seconds."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    with BinanceServer({SERIES: CANDLES}, lambda: END) as running:
        yield running


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def venue(server: BinanceServer, sleeps: Sleeps) -> Iterator[BinanceVenue]:
    opened = BinanceVenue(
        HttpClient(server.url, backoff=0, attempts=3, sleep=sleeps, timeout=5), lambda: server.now(), sleep=sleeps
    )
    yield opened
    opened.close()


def joined(pages: Iterator[Fetched]) -> Candles:
    return Candles.concatenate([page.candles for page in pages])


def prices(candles: Candles) -> Candles:
    """Return the candles without the columns that the server fills with zeros."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    return Candles.of(candles.interval, **{name: candles.columns()[name] for name in names})


def klines(server: BinanceServer) -> list[dict[str, str]]:
    return [request.params for request in server.requests if request.path == "/api/v3/klines"]


def test_pages_join_to_exactly_the_candles_that_were_asked_for(server: BinanceServer, venue: BinanceVenue) -> None:
    start, end = START + 3 * QUARTER, START + 2403 * QUARTER
    pages = list(venue.fetch(SERIES, start, end))
    assert prices(joined(iter(pages))) == CANDLES[3:2403]
    assert [len(page.candles) for page in pages] == [1000, 1000, 400]
    assert {page.source for page in pages} == {"binance"}
    assert [page.start for page in pages] == [start, *(page.end for page in pages[:-1])]
    assert pages[-1].end == end
    assert len(klines(server)) == 3


def test_request_is_spelt_as_the_exchange_spells_it(server: BinanceServer, venue: BinanceVenue) -> None:
    list(venue.fetch(SERIES, START, START + QUARTER))
    assert klines(server) == [
        {
            "symbol": "BTCUSDT",
            "interval": "15m",
            "startTime": "1756684800000",
            "endTime": "1756685699999",
            "limit": "1000",
        }
    ]
    assert server.requests[-1].headers["User-Agent"].startswith("candlecast/")


def test_candle_that_is_still_open_is_not_taken(server: BinanceServer, venue: BinanceVenue) -> None:
    server.clock = lambda: START + 10.5 * QUARTER
    taken = joined(venue.fetch(SERIES, START, END))
    assert prices(taken) == CANDLES[:10]
    assert int(klines(server)[0]["endTime"]) > int(CANDLES.open_time[10].astype(np.int64))


def test_row_off_the_grid_does_not_make_an_open_candle_closed(server: BinanceServer, venue: BinanceVenue) -> None:
    now = START + 10.9 * QUARTER
    server.clock = lambda: now
    venue.now()
    rows = [exchange.kline(CANDLES, row, to_ms(now)) for row in range(11)]
    strange = [rows[9][0] + int(0.8 * Interval.M15.milliseconds), *rows[9][1:]]
    server.fail_next(200, json.dumps([*rows, strange]))
    [page] = venue.fetch(SERIES, START, END)
    assert prices(page.candles) == CANDLES[:10]
    assert page.end == START + 10 * QUARTER
    assert [refusal.reason for refusal in page.refused] == ["open_time is off the 15m grid"]


def test_candle_is_taken_at_the_moment_it_closes(server: BinanceServer, venue: BinanceVenue) -> None:
    server.clock = lambda: START + 10 * QUARTER
    assert len(joined(venue.fetch(SERIES, START, END))) == 10


def test_candle_that_closes_while_the_answer_travels_is_not_taken(server: BinanceServer) -> None:
    moment = [START + 10 * QUARTER - timedelta(milliseconds=400)]
    server.clock = lambda: moment[0]
    venue = BinanceVenue(HttpClient(server.url, backoff=0), lambda: moment[0])
    venue.now()

    def advance() -> datetime:
        answered = moment[0]
        moment[0] += timedelta(seconds=1)
        return answered

    server.clock = advance
    assert len(next(venue.fetch(SERIES, START, END)).candles) == 9
    venue.close()


def test_clock_is_the_exchanges_and_measured_once(server: BinanceServer) -> None:
    wall = START + timedelta(days=400)
    http = HttpClient(server.url, backoff=0)
    venue = BinanceVenue(http, lambda: wall)
    assert venue.now() == END
    assert venue.now() == END
    assert [request.path for request in server.requests] == ["/api/v3/time"]
    venue.close()


def test_slow_answer_never_puts_our_clock_ahead_of_the_exchanges(server: BinanceServer) -> None:
    walls = iter([END + timedelta(seconds=7), END + timedelta(seconds=8)])
    venue = BinanceVenue(HttpClient(server.url, backoff=0), lambda: next(walls))
    assert venue.now() == END + timedelta(seconds=1)
    venue.close()


def test_nothing_is_asked_when_no_candle_can_have_closed(server: BinanceServer, venue: BinanceVenue) -> None:
    assert list(venue.fetch(SERIES, END - QUARTER / 2, END + QUARTER)) == []
    assert klines(server) == []


def test_gap_at_the_exchange_stays_a_gap(server: BinanceServer, venue: BinanceVenue) -> None:
    holed = Candles.concatenate([CANDLES[:700], CANDLES[1900:]])
    server.truth[SERIES.symbol, SERIES.interval] = holed
    assert prices(joined(venue.fetch(SERIES, START, END))) == holed


def test_series_that_ended_long_ago_ends_quietly(server: BinanceServer, venue: BinanceVenue) -> None:
    server.truth[SERIES.symbol, SERIES.interval] = CANDLES[:5]
    pages = list(venue.fetch(SERIES, START, END))
    assert len(joined(iter(pages))) == 5
    assert (pages[-1].start, pages[-1].end) == (START + 5 * QUARTER, END - QUARTER)
    assert len(klines(server)) == 5


def test_exchange_that_repeats_itself_is_given_up_on(server: BinanceServer, venue: BinanceVenue) -> None:
    venue.now()
    body = json.dumps([exchange.kline(CANDLES, row, 2**60) for row in range(3)])
    server.fail_next(200, body, times=9)
    with pytest.raises(VenueUnavailable, match="answers for other times"):
        list(venue.fetch(SERIES, START, END))
    assert len(klines(server)) == 3


def test_short_answers_cost_requests_and_nothing_else(server: BinanceServer, venue: BinanceVenue) -> None:
    venue.now()
    server.play([Fault.SHORT] * 3)
    pages = list(venue.fetch(SERIES, START, END))
    assert [len(page.candles) for page in pages] == [500, 500, 500, 1000]
    assert prices(joined(iter(pages))) == CANDLES


def test_row_that_contradicts_itself_is_refused_with_a_reason(server: BinanceServer, venue: BinanceVenue) -> None:
    venue.now()
    rows = [exchange.kline(CANDLES, row, 2**60) for row in range(3)]
    rows[1][2] = "0.5"
    server.fail_next(200, json.dumps(rows))
    page = next(venue.fetch(SERIES, START, START + 3 * QUARTER))
    assert [refusal.reason for refusal in page.refused] == ["high is below open or close"]
    assert [refusal.row for refusal in page.refused] == [1]
    assert prices(page.candles) == Candles.concatenate([CANDLES[:1], CANDLES[2:3]])


def test_microseconds_are_told_by_their_size(server: BinanceServer, venue: BinanceVenue) -> None:
    server.fail_next(200, json.dumps({"serverTime": int(END.timestamp()) * 1_000_000}))
    rows = [exchange.kline(CANDLES, row, 2**60) for row in range(3)]
    server.fail_next(200, json.dumps([[row[0] * 1000, *row[1:]] for row in rows]))
    assert prices(next(venue.fetch(SERIES, START, START + 3 * QUARTER)).candles) == CANDLES[:3]


def test_all_columns_arrive(server: BinanceServer, venue: BinanceVenue) -> None:
    full = {
        **CANDLES[:4].columns(),
        "quote_volume": [1.5, 2, 3, 4],
        "trades": [7, 8, 9, 1],
        "taker_buy_volume": [0.1] * 4,
    }
    server.truth[SERIES.symbol, SERIES.interval] = candles = Candles.of(Interval.M15, **full)
    assert joined(venue.fetch(SERIES, START, START + 4 * QUARTER)) == candles


def test_symbol_that_the_exchange_does_not_have(venue: BinanceVenue) -> None:
    unknown = Series.parse("binance:NOPE-USDT:15m")
    with pytest.raises(UnknownSeries, match="binance does not have NOPE-USDT"):
        next(venue.fetch(unknown, START, END))
    with pytest.raises(UnknownSeries, match="binance does not have NOPE-USDT"):
        venue.require(unknown)
    venue.require(SERIES)


def test_it_stands_in_for_another_venue_that_trades_the_same_pair(venue: BinanceVenue) -> None:
    [page] = venue.fetch(Series.parse("kraken:BTC-USDT:15m"), START, START + QUARTER)
    assert prices(page.candles) == CANDLES[:1]
    assert page.source == "binance"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, exchange.INVALID_INTERVAL, DataError),
        (400, "not json", DataError),
        (403, exchange.FORBIDDEN_PAGE, RestrictedLocation),
        (404, "<html></html>", ConfigurationError),
        (418, exchange.IP_BANNED, RateLimited),
        (451, exchange.RESTRICTED_LOCATION, RestrictedLocation),
    ],
)
def test_refusal_has_its_own_error_and_is_not_tried_again(
    server: BinanceServer, venue: BinanceVenue, status: int, body: str, expected: type[CandlecastError]
) -> None:
    server.fail_next(status, body)
    with pytest.raises(expected) as caught:
        venue.now()
    assert type(caught.value) is expected
    assert len(server.requests) == 1


Break = Callable[[BinanceServer], None]


@pytest.mark.parametrize(
    "break_once",
    [
        lambda server: server.fail_next(500),
        lambda server: server.fail_next(503, "<html></html>"),
        lambda server: server.fail_next(200, '{"serverTime": 16'),
        lambda server: server.fail_next(200, "\xff\xfe"),
        lambda server: server.fail_next(302, headers={"Location": "/elsewhere"}),
        lambda server: server.fail_next(429, exchange.TOO_MUCH_WEIGHT),
        lambda server: server.drop_next(),
        lambda server: server.truncate_next(),
    ],
)
def test_passing_trouble_is_tried_again(server: BinanceServer, venue: BinanceVenue, break_once: Break) -> None:
    break_once(server)
    assert venue.now() == END
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("break_always", "expected"),
    [
        (lambda server: server.fail_next(500, times=9), VenueUnavailable),
        (lambda server: server.drop_next(times=9), VenueUnavailable),
        (lambda server: server.truncate_next(times=9), VenueUnavailable),
        (lambda server: server.fail_next(429, times=9), RateLimited),
    ],
)
def test_lasting_trouble_is_given_up_on(
    server: BinanceServer, venue: BinanceVenue, break_always: Break, expected: type[CandlecastError]
) -> None:
    break_always(server)
    with pytest.raises(expected):
        venue.now()
    assert len(server.requests) == 3


def test_exchange_that_never_answers_times_out(server: BinanceServer) -> None:
    server.hang_next()
    venue = BinanceVenue(HttpClient(server.url, attempts=1, timeout=0.1))
    with pytest.raises(VenueUnavailable, match="Timeout"):
        venue.now()
    venue.close()


def test_nobody_listening_is_unavailable(server: BinanceServer) -> None:
    with BinanceServer({}, lambda: END) as gone:
        url = gone.url
    venue = BinanceVenue(HttpClient(url, attempts=2, backoff=0))
    with pytest.raises(VenueUnavailable, match="does not answer"):
        venue.now()
    venue.close()


@pytest.mark.parametrize(
    "answer", ["{}", "[]", '{"serverTime": null}', '{"serverTime": "soon"}', '{"serverTime": 1e30}']
)
def test_time_that_is_no_time_is_unavailable(server: BinanceServer, venue: BinanceVenue, answer: str) -> None:
    server.fail_next(200, answer, times=3)
    with pytest.raises(VenueUnavailable, match="does not tell its time"):
        venue.now()


@pytest.mark.parametrize("answer", ["{}", '"soon"', "[[]]", "[1]", "[null]", '[[1, "x", 1, 1, 1, 1, 1, 1, 1, 1]]'])
def test_answer_that_holds_no_candles_is_unavailable(server: BinanceServer, venue: BinanceVenue, answer: str) -> None:
    venue.now()
    server.fail_next(200, answer, times=3)
    with pytest.raises(VenueUnavailable):
        next(venue.fetch(SERIES, START, END))


def test_address_that_is_none_is_a_configuration_error() -> None:
    venue = BinanceVenue(HttpClient("binance.example", attempts=1))
    with pytest.raises(ConfigurationError, match="no address"):
        venue.now()
    venue.close()


def test_retry_after_is_obeyed_up_to_the_longest_wait(
    server: BinanceServer, venue: BinanceVenue, sleeps: Sleeps
) -> None:
    server.fail_next(429, exchange.TOO_MUCH_WEIGHT, {"Retry-After": "17"})
    assert venue.now() == END
    assert max(sleeps) == pytest.approx(17, abs=1)


def test_retry_after_beyond_the_longest_wait_goes_to_the_caller(
    server: BinanceServer, venue: BinanceVenue, sleeps: Sleeps
) -> None:
    server.fail_next(429, exchange.TOO_MUCH_WEIGHT, {"Retry-After": "61"})
    with pytest.raises(RateLimited) as caught:
        venue.now()
    assert caught.value.retry_after == 61
    with pytest.raises(RateLimited):
        venue.now()
    assert len(server.requests) == 1
    assert sleeps == []


def test_retry_after_may_be_a_date(server: BinanceServer, venue: BinanceVenue) -> None:
    server.fail_next(429, "", {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1))})
    with pytest.raises(RateLimited) as caught:
        venue.now()
    assert caught.value.retry_after == pytest.approx(3600, abs=60)


def test_ban_says_how_long(server: BinanceServer, venue: BinanceVenue) -> None:
    server.fail_next(418, exchange.IP_BANNED, {"Retry-After": "120"})
    with pytest.raises(RateLimited) as caught:
        venue.now()
    assert caught.value.retry_after == 120
    assert caught.value.details["banned"]
    assert caught.value.details["until"] == pytest.approx(datetime.now(UTC) + timedelta(seconds=120), abs=A_MINUTE)


def test_nobody_asks_while_a_ban_lasts(server: BinanceServer, venue: BinanceVenue) -> None:
    server.play([Fault.BAN])
    for _ in range(3):
        with pytest.raises(RateLimited, match="bans this address") as caught:
            venue.now()
        assert caught.value.details["banned"]
        assert caught.value.retry_after == pytest.approx(120, abs=60)
    assert len(server.requests) == 1


def test_ban_without_retry_after_is_read_out_of_its_sentence(server: BinanceServer, venue: BinanceVenue) -> None:
    until = int(datetime.now(UTC).timestamp() * 1000) + 500_000
    server.fail_next(418, exchange.IP_BANNED.replace("1659761931230", str(until)))
    with pytest.raises(RateLimited) as caught:
        venue.now()
    assert caught.value.retry_after == pytest.approx(500, abs=60)


def test_back_off_grows_and_is_capped(server: BinanceServer, sleeps: Sleeps) -> None:
    server.fail_next(500, times=9)
    client = HttpClient(server.url, attempts=9, backoff=1, sleep=sleeps)
    with pytest.raises(VenueUnavailable):
        client.get("/api/v3/time", Answer.json)
    client.close()
    assert all(2**n <= slept <= 2**n + 1 for n, slept in enumerate(sleeps[:4]))
    assert len(sleeps) == 8
    assert 30 <= max(sleeps) <= 31


def test_request_weight_near_the_limit_waits_for_the_next_minute(
    server: BinanceServer, venue: BinanceVenue, sleeps: Sleeps
) -> None:
    server.clock = lambda: END + timedelta(seconds=12)
    server.used_weight = 4977
    list(venue.fetch(SERIES, START, START + QUARTER))
    assert sleeps == []
    list(venue.fetch(SERIES, START, START + QUARTER))
    assert sleeps == [48]


@pytest.mark.parametrize(("used", "asked"), [(900, 0), (1100, 1)])
def test_limit_of_the_weight_is_asked_for_once_and_when_it_matters(
    server: BinanceServer, venue: BinanceVenue, sleeps: Sleeps, used: int, asked: int
) -> None:
    server.clock = lambda: END + timedelta(seconds=12)
    server.used_weight = used
    server.weight_limit = 1200
    for _ in range(3):
        list(venue.fetch(SERIES, START, START + QUARTER))
    assert [request.path for request in server.requests].count("/api/v3/exchangeInfo") == asked
    assert sleeps == [48] * (3 * asked)


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "{}",
        '{"rateLimits": []}',
        '{"rateLimits": [{}]}',
        '{"rateLimits": 3}',
        '{"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 0}]}',
        '{"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 0, "limit": 1}]}',
    ],
)
def test_limit_that_is_not_told_is_the_usual_one(
    server: BinanceServer, venue: BinanceVenue, sleeps: Sleeps, answer: str
) -> None:
    server.used_weight = 3000
    venue.now()
    server.fail_next(200, answer)
    assert len(joined(venue.fetch(SERIES, START, START + QUARTER))) == 1
    assert [request.path.rpartition("/")[2] for request in server.requests] == ["time", "exchangeInfo", "klines"]
    assert sleeps == []


def test_symbol_that_is_not_traded_any_more(server: BinanceServer, venue: BinanceVenue) -> None:
    server.fail_next(200, '{"symbols": [{"symbol": "BTCUSDT", "status": "BREAK"}]}')
    with pytest.raises(UnknownSeries, match="does not trade BTC-USDT now: BREAK"):
        venue.require(SERIES)


def test_open_venue_reads_the_settings(server: BinanceServer) -> None:
    venue = open_venue("binance", Settings(binance_url=server.url, venue_backoff=0), VenueClock())
    assert venue.name == "binance"
    assert abs(venue.now() - END) < timedelta(seconds=30)
    assert prices(joined(venue.fetch(SERIES, START, START + 2 * QUARTER))) == CANDLES[:2]
    venue.close()


@requires_shared
def test_open_row_of_the_recorded_answer_is_dropped(server: BinanceServer, venue: BinanceVenue) -> None:
    body = (SHARED / "data/api-samples/binance/klines-BTCUSDT-1m.json").read_text()
    rows: list[list[Any]] = json.loads(body)
    now = from_ms(rows[-1][0] + 4_000)
    server.clock = lambda: now
    venue.now()
    server.fail_next(200, body)
    [page] = venue.fetch(Series.parse("binance:BTC-USDT:1m"), from_ms(rows[0][0]), now + timedelta(hours=1))
    assert len(page.candles) == 9
    assert page.refused == ()
    assert page.candles.cutoff == from_ms(rows[-1][0])
    assert page.candles.close[-1] == 60739.85
    assert page.candles.volume.tolist() == [float(row[5]) for row in rows[:9]]
    assert page.candles.quote_volume[0] == 1313200.0134041
    assert page.candles.trades[0] == 617
    assert page.candles.taker_buy_volume[0] == 12.28492


@requires_shared
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("error-400-invalid-symbol", exchange.INVALID_SYMBOL),
        ("error-400-invalid-interval", exchange.INVALID_INTERVAL),
        ("error-418-ip-banned", exchange.IP_BANNED),
        ("error-429-too-much-weight", exchange.TOO_MUCH_WEIGHT),
        ("error-451-restricted-location", exchange.RESTRICTED_LOCATION),
    ],
)
def test_our_exchange_says_what_the_real_one_says(name: str, body: str) -> None:
    recorded = (SHARED / f"data/api-samples/binance/{name}.json").read_text()
    assert json.loads(body) == json.loads(recorded)
