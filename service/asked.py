"""What a request asks for, read and checked: the board, a series, a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from candlecast.candles import Series
from candlecast.errors import StoreUnavailable, UnknownSeries, UsageError
from service.board import Board

MAX_ROWS = 5000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


# Asynchronous only so that no thread is asked for something so small.
async def _reached(request: Request) -> Board:
    board: Board = request.app.state.board
    if not board.reached:
        raise StoreUnavailable("this replica has not reached the database yet; try again in a few seconds")
    return board


BoardNow = Annotated[Board, Depends(_reached)]
SeriesName = Annotated[str, Query(description="Such as `binance:BTC-USDT:15m`")]
Last = Annotated[int, Query(ge=1, le=MAX_ROWS, description="Only the newest N")]


def configured(board: Board, name: str) -> Series:
    """Return the series written as `name`; raise UnknownSeries for one that is not configured."""
    series = parse_series(name)
    if series not in board.series:
        raise UnknownSeries(f"{series} is not configured; GET /v1/series lists what is", series=name)
    return series


def served(board: Board, horizon: int) -> int:
    """Return the horizon; raise UsageError for one that is not configured."""
    horizons = board.settings.horizons
    if horizon not in horizons:
        raise UsageError(f"horizon {horizon} is not configured; configured are {', '.join(map(str, horizons))}")
    return horizon


def parse_series(name: str) -> Series:
    """Return the series written as `name`; raise UnknownSeries where it is none."""
    try:
        return Series.parse(name)
    except UsageError as error:
        raise UnknownSeries(error.message, series=name) from None


def aware(name: str, moment: datetime) -> datetime:
    """Return the parameter `name` as UTC; raise UsageError for a time without zone or before 1970."""
    if moment.tzinfo is None:
        raise UsageError(f"{name} has no time zone; write it like 2025-09-01T00:00:00Z")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not utc >= _EARLIEST:
        raise UsageError(f"{name} is before 1970; candles begin later")
    return utc
