from datetime import datetime, timedelta

import pytest

from candlecast.candles import Candles, Interval, Price, Series, Symbol
from candlecast.store import candles as candle_store
from candlecast.store import prices
from candlecast.store.database import Database
from candlecast.store.prices import LastPrice
from tests.making import make_candles

CANDLES = make_candles(40)
CLOSE, CLOSED_AT = float(CANDLES.close[-1]), CANDLES.cutoff


@pytest.fixture
def known(database: Database) -> Database:
    with database.begin() as connection:
        for name, candles in (("replay:BTC-USDT:15m", CANDLES), ("replay:ETH-BTC:15m", make_candles(40, seed=2))):
            candle_store.upsert(connection, Series.parse(name), candles, source="replay", now=CLOSED_AT)
    return database


def price(factor: float, symbol: str = "BTC-USDT", at: datetime = CLOSED_AT) -> Price:
    return Price(Symbol.parse(symbol), CLOSE * factor, "coingecko", at)


def record(database: Database, one: Price) -> LastPrice:
    with database.begin() as connection:
        (found,) = prices.record(connection, [one], tolerance=0.02)
        assert found in prices.latest(connection)
    return found


@pytest.mark.parametrize(("factor", "disagrees"), [(1.019, False), (0.981, False), (1.021, True), (0.979, True)])
def test_a_price_far_from_the_newest_close_disagrees(known: Database, factor: float, disagrees: bool) -> None:
    assert record(known, price(factor)) == LastPrice(price(factor), disagrees, int(disagrees))


def test_every_new_price_that_disagrees_is_counted_once(known: Database) -> None:
    minute = timedelta(minutes=1)
    said = [price(2), price(2), price(2, at=CLOSED_AT + minute), price(1, at=CLOSED_AT + 2 * minute)]
    assert [record(known, one).disagreements for one in said] == [1, 1, 2, 2]
    with known.begin() as connection:
        (newest,) = prices.latest(connection)
    assert newest == LastPrice(said[-1], False, 2)


@pytest.mark.parametrize(
    ("one", "disagrees"),
    [
        (price(2, "BTC-USD"), True),  # a dollar is a dollar
        (price(1, "BTC-USD"), False),
        (price(2, "BTC-EUR"), None),
        (price(2, "ETH-USD"), None),  # ETH-BTC is no dollar price
        (price(2, "SOL-USD"), None),
        (price(2, at=CLOSED_AT + timedelta(hours=2)), None),
        (price(2, at=CLOSED_AT - timedelta(hours=2)), None),
    ],
)
def test_only_a_close_of_the_same_time_and_money_is_compared(
    known: Database, one: Price, disagrees: bool | None
) -> None:
    assert record(known, one).disagrees is disagrees


def test_the_very_symbol_counts_more_than_a_newer_close_in_another_dollar(known: Database) -> None:
    dearer = {name: CANDLES.columns()[name] * 2 for name in ("open", "high", "low", "close")}
    usd = Candles.of(Interval.M15, **(CANDLES.columns() | dearer))[:-1]
    with known.begin() as connection:
        candle_store.upsert(
            connection, Series("replay", Symbol("BTC", "USD"), Interval.M15), usd, source="replay", now=CLOSED_AT
        )
    assert record(known, price(1)).disagrees is False
    assert record(known, price(1, "BTC-USD")).disagrees is True
