"""The faults of our exchanges are what they say they are."""

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from candlecast.candles import Candles, Interval, Series, Symbol, to_ms
from tests.making import START, make_candles
from tests.venues import hostile
from tests.venues.exchange import BinanceServer, kline
from tests.venues.hostile import Fault, complete, random_script, restated

BTC = Symbol("BTC", "USDT")
CANDLES = complete(make_candles(40))
NOW = CANDLES.cutoff - Interval.M15.delta / 2
TRUE_ROWS = [kline(CANDLES, row, to_ms(NOW)) for row in range(40)]


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    with BinanceServer({Series("binance", BTC, Interval.M15): CANDLES}, lambda: NOW) as running:
        yield running


def ask(server: BinanceServer, start: int = 10, timeout: float = 30) -> httpx.Response:
    first = to_ms(START) + start * Interval.M15.milliseconds
    params: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "15m", "startTime": first}
    return httpx.get(f"{server.url}/api/v3/klines", params=params, timeout=timeout)


def rows(server: BinanceServer, fault: Fault) -> list[list[Any]]:
    server.play([fault])
    answer: list[list[Any]] = ask(server).json()
    assert server.unspent == 0
    assert ask(server).json() == TRUE_ROWS[10:]
    return answer


def test_without_a_script_the_truth_is_told_and_the_last_candle_is_open(server: BinanceServer) -> None:
    answer = ask(server).json()
    assert answer == TRUE_ROWS[10:]
    assert answer[-1][4] != repr(float(CANDLES.close[-1]))
    assert answer[-2][4] == repr(float(CANDLES.close[-2]))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.SLOW_DOWN, 429),
        (Fault.SLOW_DOWN_FOR, 429),
        (Fault.BAN, 418),
        (Fault.RESTRICTED, 451),
        (Fault.FORBIDDEN, 403),
        (Fault.SERVER_ERROR, 500),
        (Fault.REDIRECT, 302),
        (Fault.HTML, 200),
    ],
)
def test_refusals_carry_their_status(server: BinanceServer, fault: Fault, status: int) -> None:
    server.play([fault])
    answer = ask(server)
    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (fault in (Fault.SLOW_DOWN_FOR, Fault.BAN))
    assert ("HTML" in answer.text) == (fault in (Fault.FORBIDDEN, Fault.SERVER_ERROR, Fault.HTML))
    assert ask(server).status_code == 200


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.DROPPED, httpx.RemoteProtocolError),
        (Fault.RESET, httpx.ReadError),
        (Fault.HALF_CLOSED, httpx.RemoteProtocolError),
        (Fault.HANGING, httpx.ReadTimeout),
    ],
)
def test_broken_connections_break(server: BinanceServer, fault: Fault, error: type[Exception]) -> None:
    server.play([fault])
    with pytest.raises(error):
        ask(server, timeout=0.3 if fault is Fault.HANGING else 30)
    assert ask(server).json() == TRUE_ROWS[10:]


def test_truncated_answer_is_complete_to_http_but_no_json(server: BinanceServer) -> None:
    server.play([Fault.TRUNCATED])
    answer = ask(server)
    assert answer.text == ask(server).text[: len(answer.text)]
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_huge_answer_goes_on_for_as_long_as_somebody_reads(server: BinanceServer) -> None:
    server.play([Fault.HUGE])
    with httpx.stream("GET", f"{server.url}/api/v3/klines") as answer:
        received = 0
        for chunk in answer.iter_bytes():
            received += len(chunk)
            if received > 20_000_000:
                break
    assert received > 20_000_000


def test_rows_are_altered_as_the_fault_says(server: BinanceServer) -> None:
    true = TRUE_ROWS[10:]
    assert rows(server, Fault.SHUFFLED) != true
    assert sorted(rows(server, Fault.SHUFFLED)) == true
    assert rows(server, Fault.DUPLICATED)[::2] == true
    assert rows(server, Fault.DUPLICATED)[1::2] == true
    assert rows(server, Fault.OVERLAPPING) == TRUE_ROWS[7:]
    assert rows(server, Fault.MICROSECONDS) == [[row[0] * 1000, *row[1:]] for row in true]
    assert rows(server, Fault.SWAPPED_TYPES)[3][4] == float(true[3][4])
    assert rows(server, Fault.SWAPPED_TYPES)[3][8] == str(true[3][8])
    assert rows(server, Fault.SHORT) == true[:15]
    assert rows(server, Fault.EMPTY) == []
    assert rows(server, Fault.HOLED) == true[:15] + true[17:]


def test_the_newest_closed_row_is_preliminary(server: BinanceServer) -> None:
    answer = rows(server, Fault.PRELIMINARY)
    assert [i for i, row in enumerate(answer) if row != TRUE_ROWS[10 + i]] == [28]
    assert answer[28][4] == answer[28][1]


def test_rows_that_nobody_can_believe(server: BinanceServer) -> None:
    high, low = rows(server, Fault.CONTRADICTORY)[15][2:4]
    assert float(high) < float(low)
    twice = [row for row in rows(server, Fault.DISAGREEING) if row[0] == TRUE_ROWS[25][0]]
    assert len(twice) == 2
    assert twice[0][5] != twice[1][5]


def test_repeated_answer_is_the_one_before_of_the_same_series(server: BinanceServer) -> None:
    other = Series.parse("binance:ETH-USDT:15m")
    server.truth[other.symbol, other.interval] = CANDLES
    ask(server, start=30)
    server.play([Fault.REPEATED])
    assert ask(server, start=10).json() == TRUE_ROWS[30:39]


def test_restated_candles_differ_in_one_row() -> None:
    changed = restated(CANDLES, 5)
    assert changed[:5] == CANDLES[:5]
    assert changed[6:] == CANDLES[6:]
    assert changed.close[5] == CANDLES.open[5]
    assert changed != CANDLES


def test_script_is_the_same_for_the_same_seed() -> None:
    first, again = (random_script(random.Random(7), 200) for _ in range(2))  # noqa: S311  # a test's dice
    assert first == again
    assert 50 < first.count(None) < 150
    assert set(random_script(random.Random(7), 50, [Fault.BAN], share=1)) == {Fault.BAN}  # noqa: S311


def test_every_fault_has_its_place() -> None:
    groups = (hostile.OVERCOME, hostile.STOPPING, hostile.DECEIVING, hostile.REFUSED, hostile.ARCHIVE_ONLY)
    assert sorted(fault for group in groups for fault in group) == sorted(Fault)


def test_complete_candles_come_back_exactly(server: BinanceServer) -> None:
    [row] = [row for row in ask(server).json() if row[0] == TRUE_ROWS[12][0]]
    one: Candles = CANDLES[12:13]
    assert [float(row[place]) for place in (1, 2, 3, 4, 5, 7, 8, 9)] == [
        float(column[0]) for name, column in one.columns().items() if name != "open_time"
    ]
