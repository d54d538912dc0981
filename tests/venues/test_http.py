"""The HTTP client against answers that are no answers. What each exchange makes of its own is in its own tests."""

import gzip
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import candlecast
from candlecast.candles import Candles, Series
from candlecast.errors import ConfigurationError, DataError, RateLimited, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.http import Answer, HttpClient
from candlecast.venues.live import moment
from tests.making import make_candles
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import Fault, Reply
from tests.venues.test_pace import Time

CANDLES: Candles = make_candles(3)
TIME = "/api/v3/time"


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    with BinanceServer({Series.parse("binance:BTC-USDT:15m"): CANDLES}, lambda: CANDLES.cutoff) as running:
        yield running


@pytest.fixture
def client(server: BinanceServer) -> Iterator[HttpClient]:
    opened = HttpClient(server.url, backoff=0, attempts=2, largest_answer=100_000)
    yield opened
    opened.close()


def test_we_say_who_we_are(server: BinanceServer, client: HttpClient) -> None:
    client.get(TIME, Answer.json)
    assert server.requests[0].headers["User-Agent"] == f"candlecast/{candlecast.__version__}"


def test_version_is_the_packages() -> None:
    described = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert candlecast.__version__ == described["project"]["version"]


def test_answer_without_end_is_cut(server: BinanceServer, client: HttpClient) -> None:
    server.play([Fault.HUGE, Fault.HUGE])
    with pytest.raises(VenueUnavailable, match="more than 100,000 bytes"):
        client.get(TIME, Answer.json)
    assert server.unspent == 0
    assert client.get(TIME, Answer.json)["serverTime"]


def test_answer_that_unpacks_to_too_much_is_cut(server: BinanceServer, client: HttpClient) -> None:
    packed = gzip.compress(b" " * 10_000_000)
    assert len(packed) < 100_000
    server.play([Reply(200, packed, {"Content-Encoding": "gzip"})] * 2)
    with pytest.raises(VenueUnavailable, match="more than 100,000 bytes"):
        client.get(TIME, Answer.json)


def test_answer_that_is_not_packed_as_it_says_is_unavailable(server: BinanceServer, client: HttpClient) -> None:
    server.play([Reply(200, b"{}", {"Content-Encoding": "gzip"})] * 2)
    with pytest.raises(VenueUnavailable, match="DecodingError"):
        client.get(TIME, Answer.json)


def test_answer_that_trickles_is_given_up_on(server: BinanceServer) -> None:
    ticks = iter(range(0, 10_000, 7))
    client = HttpClient(server.url, attempts=1, timeout=1, clock=lambda: next(ticks))
    with pytest.raises(VenueUnavailable, match="takes longer than 6 s"):
        client.get(TIME, Answer.json)
    client.close()


def test_redirect_is_not_followed(server: BinanceServer, client: HttpClient) -> None:
    with BinanceServer({}, lambda: CANDLES.cutoff) as elsewhere:
        server.fail_next(302, headers={"Location": f"{elsewhere.url}{TIME}"}, times=2)
        with pytest.raises(VenueUnavailable, match="302"):
            client.get(TIME, Answer.json)
        assert elsewhere.requests == []
    assert len(server.requests) == 2


@pytest.mark.parametrize("body", ["<!DOCTYPE html><html></html>", "", "[" * 50_000, '{"a": 1', "1" * 5_000, "\x00"])
def test_body_that_is_not_json_is_unavailable(server: BinanceServer, client: HttpClient, body: str) -> None:
    server.fail_next(200, body, times=2)
    with pytest.raises(VenueUnavailable, match="not JSON"):
        client.get(TIME, Answer.json)
    assert server.unspent == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault.SLOW_DOWN,
        Fault.SLOW_DOWN_FOR,
        Fault.SERVER_ERROR,
        Fault.HTML,
        Fault.REDIRECT,
        Fault.DROPPED,
        Fault.RESET,
        Fault.HALF_CLOSED,
        Fault.TRUNCATED,
        Fault.HUGE,
    ],
)
def test_passing_trouble_is_tried_again(server: BinanceServer, client: HttpClient, fault: Fault) -> None:
    server.play([fault])
    assert client.get(TIME, Answer.json)["serverTime"]
    assert len(server.requests) == 2


def test_host_that_hangs_is_asked_again(server: BinanceServer) -> None:
    server.play([Fault.HANGING])
    client = HttpClient(server.url, backoff=0, attempts=9, timeout=0.2)
    assert client.get(TIME, Answer.json)["serverTime"]
    assert len(server.requests) >= 2
    client.close()


def test_answer_that_cannot_be_read_is_asked_for_again(server: BinanceServer, client: HttpClient) -> None:
    server.fail_next(200, '{"serverTime": "soon"}')
    assert client.get(TIME, lambda answer: moment(answer, lambda content: content["serverTime"])) == CANDLES.cutoff
    assert len(server.requests) == 2


def test_complaint_slows_later_requests_down(server: BinanceServer) -> None:
    time = Time()
    client = HttpClient(server.url, backoff=0, pause=0.25, clock=time.clock, sleep=time.sleep)
    server.play([None, Fault.SLOW_DOWN])
    for _ in range(3):
        client.get(TIME, Answer.json)
    assert [seconds for seconds in time.slept if seconds] == [0.25, 0.5, 0.5]
    client.close()


def test_wait_that_is_asked_for_replaces_the_back_off(server: BinanceServer) -> None:
    time = Time()
    client = HttpClient(server.url, backoff=100, clock=time.clock, sleep=time.sleep, longest_wait=300)
    server.fail_next(429, headers={"Retry-After": "250"})
    client.get(TIME, Answer.json)
    assert sum(time.slept) == 250
    client.close()


@pytest.mark.parametrize("said", ["9" * 30, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_wait_of_more_than_a_week_is_a_week(server: BinanceServer, client: HttpClient, said: str) -> None:
    server.fail_next(418, headers={"Retry-After": said})
    with pytest.raises(RateLimited) as caught:
        client.get(TIME, Answer.json)
    assert caught.value.retry_after == 7 * 86_400


@pytest.mark.parametrize("said", ["", "soon", "-5", "1.5", "Tue, 99 Foo"])
def test_wait_that_cannot_be_read_is_none(server: BinanceServer, client: HttpClient, said: str) -> None:
    server.fail_next(418, headers={"Retry-After": said})
    with pytest.raises(RateLimited) as caught:
        client.get(TIME, Answer.json)
    assert caught.value.retry_after is None


def test_wait_until_a_moment_that_is_past_is_no_wait(server: BinanceServer) -> None:
    client = HttpClient(server.url, backoff=0, longest_wait=0)
    server.fail_next(429, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    assert client.get(TIME, Answer.json)["serverTime"]
    client.close()


def test_patience_comes_from_the_settings(server: BinanceServer) -> None:
    settings = Settings(venue_attempts=2, venue_backoff=0, venue_longest_wait=5, venue_timeout=3)
    client = HttpClient.from_settings(server.url, settings)
    server.fail_next(429, headers={"Retry-After": "6"})
    with pytest.raises(RateLimited):
        client.get(TIME, Answer.json)
    assert len(server.requests) == 1
    client.close()


@pytest.mark.parametrize("status", [400, 401, 410, 422])
def test_refusal_of_the_request_itself_is_not_repeated(server: BinanceServer, client: HttpClient, status: int) -> None:
    server.fail_next(status, "what is this?")
    with pytest.raises(DataError, match=rf"{status} to {TIME}: what is this\?"):
        client.get(TIME, Answer.json)
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["", "exchange.example", "ftp://exchange.example", "http://exchange:port"])
def test_address_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        HttpClient(url, attempts=1).get(TIME, Answer.json)
