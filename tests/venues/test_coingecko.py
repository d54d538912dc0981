"""CoinGecko's last prices against a local server that speaks its protocol, and against recorded answers."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from candlecast.candles import Price, Symbol
from candlecast.errors import RateLimited, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues import PriceSource, open_prices
from tests.shared import SHARED, requires_shared
from tests.venues.exchange import CoinGeckoServer

NOW = datetime(2025, 9, 1, 12, 0, 7, tzinfo=UTC)
PRICES = {"bitcoin": {"usd": 109_000.5, "eur": 93_000.0}, "ethereum": {"usd": 4400.25, "btc": 0.0404}}
BTC = Symbol("BTC", "USDT")


@pytest.fixture
def server() -> Iterator[CoinGeckoServer]:
    with CoinGeckoServer(PRICES, lambda: NOW) as running:
        yield running


@pytest.fixture
def source(server: CoinGeckoServer) -> Iterator[PriceSource]:
    opened = open_prices(
        Settings(coingecko_url=server.url, coingecko_pause=0, venue_backoff=0, venue_attempts=2, venue_longest_wait=1)
    )
    assert opened is not None
    yield opened
    opened.close()


def test_prices_carry_their_source_and_their_time(source: PriceSource) -> None:
    assert source.latest([Symbol("BTC", "USD"), Symbol("ETH", "BTC")]) == [
        Price(Symbol("BTC", "USD"), 109_000.5, "coingecko", NOW),
        Price(Symbol("ETH", "BTC"), 0.0404, "coingecko", NOW),
    ]


def test_one_request_is_enough_and_spells_ids(server: CoinGeckoServer, source: PriceSource) -> None:
    source.latest([Symbol("BTC", "USDT"), Symbol("ETH", "BTC"), Symbol("ETH", "USDT")])
    [request] = server.requests
    assert request.path == "/simple/price"
    assert request.params == {
        "ids": "bitcoin,ethereum",
        "vs_currencies": "btc,usd",
        "include_last_updated_at": "true",
    }
    assert "x-cg-demo-api-key" not in request.headers


def test_price_in_dollars_for_a_token_worth_one_says_that_it_is_in_dollars(source: PriceSource) -> None:
    found = source.latest([BTC, Symbol("BTC", "USDC"), Symbol("BTC", "USD")])
    assert [(price.symbol, price.price) for price in found] == [(Symbol("BTC", "USD"), 109_000.5)]


def test_what_it_does_not_know_is_left_out_and_counted(source: PriceSource, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = source.latest([BTC, Symbol("NOPE", "USDT"), Symbol("ETH", "NOPE"), Symbol("SOL", "USDT")])
    assert [price.symbol.base for price in found] == ["BTC"]
    assert "no price for 3 of 4 symbols" in caplog.text


def test_nothing_is_asked_when_nothing_is_known(server: CoinGeckoServer, source: PriceSource) -> None:
    assert source.latest([Symbol("NOPE", "USDT")]) == []
    assert source.latest([]) == []
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        '{"bitcoin": {"usd": "soon", "last_updated_at": 1756728007}}',
        '{"bitcoin": {"usd": -1, "last_updated_at": 1756728007}}',
        '{"bitcoin": {"usd": NaN, "last_updated_at": 1756728007}}',
        '{"bitcoin": {"usd": 100}}',
        '{"bitcoin": {"usd": 100, "last_updated_at": 1e30}}',
        '{"bitcoin": 100}',
        "{}",
    ],
)
def test_price_that_is_none_or_has_no_time_is_left_out(server: CoinGeckoServer, source: PriceSource, body: str) -> None:
    server.fail_next(200, body)
    assert source.latest([BTC]) == []


def test_answer_without_prices_is_unavailable(server: CoinGeckoServer, source: PriceSource) -> None:
    server.fail_next(200, "[]", times=2)
    with pytest.raises(VenueUnavailable, match="without prices"):
        source.latest([BTC])


def test_demo_key_is_sent_and_never_printed(server: CoinGeckoServer) -> None:
    settings = Settings(coingecko_url=server.url, coingecko_api_key=SecretStr("CG-secret"))
    source = open_prices(settings)
    assert source is not None
    source.latest([BTC])
    source.close()
    [request] = server.requests
    assert {name.lower(): value for name, value in request.headers.items()}["x-cg-demo-api-key"] == "CG-secret"
    assert "CG-secret" not in repr(settings)


def test_empty_address_switches_it_off() -> None:
    assert open_prices(Settings(coingecko_url="")) is None


@requires_shared
def test_recorded_rate_limit_is_one(server: CoinGeckoServer, source: PriceSource) -> None:
    body = (SHARED / "data/api-samples/coingecko/error-429-rate-limit.json").read_text()
    server.fail_next(429, body, times=2)
    with pytest.raises(RateLimited):
        source.latest([BTC])


@requires_shared
def test_recorded_price_without_a_time_is_left_out(server: CoinGeckoServer, source: PriceSource) -> None:
    server.fail_next(200, (SHARED / "data/api-samples/coingecko/simple-price-bitcoin-usd.json").read_text())
    assert source.latest([BTC]) == []
