import pytest

from candlecast.candles import Candles, Interval, Series, Symbol
from candlecast.market import ALONE, Sight, market_around, neighbours, part_series
from tests.making import make_candles


def _series(text: str) -> Series:
    return Series.parse(text)


KNOWN: dict[Series, Candles] = {
    _series(text): make_candles(10 + number, _series(text).interval, seed=number)
    for number, text in enumerate(
        [
            "binance:XRP-USDT:15m",
            "binance:BTC-USDT:15m",
            "binance:BTC-USDT:5m",
            "binance:BTC-USDT:1h",
            "binance:ETH-USDT:15m",
            "binance:ETH-USDT:5m",
            "coinbase:BTC-USDT:15m",
            "coinbase:ETH-USDT:5m",
        ]
    )
}
BTC = _series("binance:BTC-USDT:15m")


def test_market_holds_the_parts_and_the_other_symbols_of_the_same_venue() -> None:
    market = market_around(BTC, KNOWN)
    assert market.parts is KNOWN[_series("binance:BTC-USDT:5m")]
    eth, xrp = market.others
    assert isinstance(eth, Sight)
    assert (eth.candles, eth.parts) == (KNOWN[_series("binance:ETH-USDT:15m")], KNOWN[_series("binance:ETH-USDT:5m")])
    assert (xrp.candles, xrp.parts) == (KNOWN[_series("binance:XRP-USDT:15m")], None)


def test_candles_that_nobody_named_stand_alone() -> None:
    assert market_around(None, KNOWN) is ALONE


def test_neighbours_are_what_a_model_of_the_series_looks_at() -> None:
    assert [str(one) for one in neighbours(BTC, KNOWN)] == [
        "binance:BTC-USDT:5m",
        "binance:ETH-USDT:15m",
        "binance:ETH-USDT:5m",
        "binance:XRP-USDT:15m",
    ]
    assert neighbours(_series("binance:BTC-USDT:5m"), KNOWN) == []
    assert [str(one) for one in neighbours(_series("binance:SOL-USDT:1h"), KNOWN)] == [
        "binance:BTC-USDT:15m",
        "binance:BTC-USDT:1h",
        "binance:ETH-USDT:15m",
        "binance:XRP-USDT:15m",
    ]


@pytest.mark.parametrize(
    ("interval", "inside"), [("15m", Interval.M5), ("1h", Interval.M15), ("5m", None), ("1d", None)]
)
def test_parts_are_of_the_next_shorter_default_interval(interval: str, inside: Interval | None) -> None:
    found = part_series(_series(f"kraken:BTC-USD:{interval}"))
    assert found == (Series("kraken", Symbol.parse("BTC-USD"), inside) if inside else None)
