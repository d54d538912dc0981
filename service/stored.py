"""The routes about stored data: candles, how complete they are, and the prices they are held against."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from candlecast import api
from candlecast.candles import to_datetime64
from candlecast.errors import UsageError
from candlecast.store import candles as candle_store
from candlecast.store import gaps, prices
from candlecast.store.clocks import read_clock
from candlecast.store.export import CANDLE_KINDS, stream_candles
from service import answers
from service.asked import BoardNow, Last, SeriesName, aware, parse_series
from service.exports import FILES, FileFormat, file_response

_MOST_DAYS = 3700
"""Longest coverage that one request may ask for: ten years."""

router = APIRouter(prefix="/v1")


@router.get("/candles", response_model=api.CandleColumns, responses=FILES)
def read_candles(
    board: BoardNow,
    series: SeriesName,
    wanted_file: FileFormat,
    last: Last = 500,
    start: api.Moment | None = None,
    end: api.Moment | None = None,
) -> api.CandleColumns | Response:
    """Return stored candles with start <= open_time < end: the newest `last` of them, or all of them as a file."""
    wanted = parse_series(series)
    start, end = start and aware("start", start), end and aware("end", end)
    with board.database.begin() as connection:
        if wanted_file:
            candle_store.series_id(connection, wanted)
        else:
            candles = candle_store.read_last(connection, wanted, last + 1, before=end)
    if wanted_file:
        batches = stream_candles(board.database, wanted, start=start, end=end)
        return file_response(batches, CANDLE_KINDS, wanted_file, "candles", wanted)
    if start is not None:
        candles = candles[candles.open_time >= to_datetime64(start)]
    return answers.candle_columns(wanted, candles[-last:], more=len(candles) > last)


@router.get("/series/{series}/coverage")
def read_coverage(
    board: BoardNow,
    series: Annotated[str, Path(description="Such as `binance:BTC-USDT:15m`")],
    start: Annotated[api.Moment | None, Query(description="The configured window's start when left out")] = None,
    end: Annotated[api.Moment | None, Query(description="The venue's now when left out, or later than that")] = None,
) -> api.Coverage:
    """Return for every UTC day how many candles there should be, are stored, the venue lacks, and are missing."""
    wanted = parse_series(series)
    with board.database.begin() as connection:
        newest = wanted.interval.floor(read_clock(connection, wanted.venue).now())
        last = min(aware("end", end), newest) if end else newest
        first = aware("start", start) if start else last - timedelta(days=board.settings.backfill_days)
        if last - first > timedelta(days=_MOST_DAYS):
            raise UsageError(f"from {first} to {last} is longer than {_MOST_DAYS} days; ask for less at once")
        days = gaps.coverage(connection, wanted, first, last)
    return answers.coverage(wanted, first, last, days)


@router.get("/prices/latest")
def latest_prices(board: BoardNow) -> api.LatestPrices:
    """Return what sources without candles last said symbols cost, and whether the newest close agrees."""
    with board.database.begin() as connection:
        found = prices.latest(connection)
    now = datetime.now(UTC)
    return api.LatestPrices(prices=[answers.latest_price(one, now) for one in found])
