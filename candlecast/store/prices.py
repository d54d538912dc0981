"""The `last_price` table: what sources without candles say things cost, held against the newest close."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, timedelta

from sqlalchemy import Connection, case, func, select, text
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Price, Symbol
from candlecast.store import schema

# Dollars and the coins that follow them: prices in these are comparable, though not the same.
_DOLLARS = ("USD", "USDT", "USDC", "FDUSD", "DAI", "TUSD")
_COMPARABLE = timedelta(hours=1)
"""A close that is farther from the price in time says nothing about it."""

# Every series ends with one look at the index.
_CLOSE = text(
    """
    SELECT c.close
    FROM series s
    CROSS JOIN LATERAL (
        SELECT close, open_time + make_interval(secs => s.interval_seconds) AS close_time FROM candle
        WHERE series_id = s.id ORDER BY open_time DESC LIMIT 1
    ) c
    WHERE s.symbol = ANY(:symbols) AND c.close_time BETWEEN :priced_at - :comparable AND :priced_at + :comparable
    ORDER BY s.symbol <> :symbol, c.close_time DESC
    LIMIT 1
    """
)


@dataclass(frozen=True, slots=True)
class LastPrice:
    """The newest price of a symbol from one source, and what became of comparing it with the newest close.

    `disagrees` is None where there was no close of about the same time; `disagreements` counts them all.
    """

    price: Price
    disagrees: bool | None
    disagreements: int


def record(connection: Connection, prices: Iterable[Price], *, tolerance: float) -> list[LastPrice]:
    """Write prices down and compare each with the newest stored close of its symbol; return what there is now.

    They disagree when they differ by more than `tolerance` of the close (0.02 is 2 %). Where no series has the very
    symbol, a dollar price is held against any other dollar's: BTC-USD against BTC-USDT.
    """
    return [_record(connection, price, _disagrees(connection, price, tolerance)) for price in prices]


def latest(connection: Connection) -> list[LastPrice]:
    """Return the newest price of every symbol and source, by symbol."""
    p = schema.last_price.c
    rows = connection.execute(select(schema.last_price).order_by(p.symbol, p.source))
    return [
        LastPrice(
            Price(Symbol.parse(row.symbol), row.price, row.source, row.priced_at.astimezone(UTC)),
            row.disagrees,
            row.disagreements,
        )
        for row in rows
    ]


def _record(connection: Connection, price: Price, disagrees: bool | None) -> LastPrice:
    p = schema.last_price.c
    news = {"price": price.price, "priced_at": price.priced_at, "disagrees": disagrees}
    known = {"symbol": str(price.symbol), "source": price.source, "disagreements": int(disagrees or False)}
    counted: int = connection.execute(
        insert(schema.last_price)
        .values(**known, **news)
        .on_conflict_do_update(
            index_elements=["symbol", "source"],
            set_=news
            | {
                # The same price asked for twice is one price.
                "disagreements": p.disagreements
                + case((p.priced_at < price.priced_at, int(disagrees or False)), else_=0),
                "recorded_at": func.clock_timestamp(),
            },
        )
        .returning(p.disagreements)
    ).scalar_one()
    return LastPrice(price, disagrees, counted)


def _disagrees(connection: Connection, price: Price, tolerance: float) -> bool | None:
    symbol = price.symbol
    quotes = _DOLLARS if symbol.quote in _DOLLARS else (symbol.quote,)
    values = {
        "symbol": str(symbol),
        "symbols": [f"{symbol.base}-{quote}" for quote in quotes],
        "priced_at": price.priced_at,
        "comparable": _COMPARABLE,
    }
    close: float | None = connection.execute(_CLOSE, values).scalar()
    return None if close is None else abs(price.price - close) > tolerance * close
