"""Our exchange follows the real one's rules, or tests against it would prove nothing."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from candlecast.candles import Interval, Series, to_ms
from tests.making import START, make_candles
from tests.venues.exchange import INVALID_INTERVAL, INVALID_SYMBOL, BinanceServer

CANDLES = make_candles(1500)
QUARTER = Interval.M15.delta
FIRST = to_ms(START)
STEP = Interval.M15.milliseconds


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    with BinanceServer({Series.parse("binance:BTC-USDT:15m"): CANDLES}, lambda: CANDLES.cutoff) as running:
        yield running


def ask(server: BinanceServer, **params: str | int) -> httpx.Response:
    return httpx.get(f"{server.url}/api/v3/klines", params={"symbol": "BTCUSDT", "interval": "15m", **params})


def rows(server: BinanceServer, **params: str | int) -> list[int]:
    """Return which rows of the candles the exchange answers with."""
    answer: list[list[Any]] = ask(server, **params).json()
    return [(row[0] - FIRST) // STEP for row in answer]


def test_without_times_the_most_recent_500_are_given(server: BinanceServer) -> None:
    assert rows(server) == list(range(1000, 1500))
    assert rows(server, limit=2) == [1498, 1499]


def test_limit_is_1000_at_most(server: BinanceServer) -> None:
    assert rows(server, limit=5000, startTime=0) == list(range(1000))


def test_both_times_are_inclusive(server: BinanceServer) -> None:
    assert rows(server, startTime=FIRST + STEP, endTime=FIRST + 3 * STEP) == [1, 2, 3]
    assert rows(server, startTime=FIRST + 1, endTime=FIRST + 3 * STEP - 1) == [1, 2]
    assert rows(server, endTime=FIRST + 9 * STEP, limit=2) == [8, 9]


def test_last_row_is_the_open_candle_with_its_values_so_far(server: BinanceServer) -> None:
    server.clock = lambda: START + 10.5 * QUARTER
    [before, still_open] = ask(server, limit=2).json()
    assert [float(text) for text in before[1:6]] == [
        float(column[9]) for column in (CANDLES.open, CANDLES.high, CANDLES.low, CANDLES.close, CANDLES.volume)
    ]
    assert still_open[0] == FIRST + 10 * STEP
    assert still_open[6] == FIRST + 11 * STEP - 1
    assert float(still_open[4]) == pytest.approx((CANDLES.open[10] + CANDLES.close[10]) / 2)
    assert float(still_open[5]) == pytest.approx(CANDLES.volume[10] / 2)
    assert len(still_open) == 12


@pytest.mark.parametrize(
    ("params", "body"),
    [
        ({"symbol": "NOPE"}, INVALID_SYMBOL),
        ({"interval": "1mo"}, INVALID_INTERVAL),
        ({"symbol": ""}, "-1102"),
        ({"limit": "ten"}, "-1100"),
    ],
)
def test_errors_are_the_exchanges(server: BinanceServer, params: dict[str, str], body: str) -> None:
    answer = ask(server, **params)
    assert answer.status_code == 400
    assert body in answer.text


def test_weight_is_counted_per_minute(server: BinanceServer) -> None:
    assert [ask(server).headers["x-mbx-used-weight-1m"] for _ in range(2)] == ["2", "4"]
    server.clock = lambda: CANDLES.cutoff + Interval.M1.delta
    assert ask(server).headers["x-mbx-used-weight-1m"] == "2"


def test_scripted_failures_come_in_order_and_end(server: BinanceServer) -> None:
    server.fail_next(429, "slow", {"Retry-After": "3"})
    server.drop_next()
    first = ask(server)
    assert (first.status_code, first.text, first.headers["Retry-After"]) == (429, "slow", "3")
    with pytest.raises(httpx.RemoteProtocolError):
        ask(server)
    assert ask(server).status_code == 200
    assert [request.params["symbol"] for request in server.requests] == ["BTCUSDT"] * 3
