"""POST /v1/forecasts: what the champion, or the baseline, says about a caller's own candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from candlecast import api
from candlecast.candles import Candles, Interval, from_datetime64
from candlecast.errors import InvalidCandles, TooLarge, UsageError
from candlecast.forecast import Forecast
from candlecast.store.files import read_candle_file
from service import answers
from service.asked import BoardNow, parse_series
from service.board import Board, Computed
from service.bodies import JSON, PARQUET, parse_json, read_body

router = APIRouter(prefix="/v1")

_PRICES = ("open", "high", "low", "close")
_VALUES = (*_PRICES, "volume")
_SATURDAY = 5

_AT_ONCE = 2
"""Requests of a worker whose candles are read at once: what a body becomes is many times its size."""


class FileOptions(api.ForecastOptions):
    """The options of a Parquet body, which has no place for them; with JSON they belong into the body."""

    interval: str | None = None  # type: ignore[assignment]  # needed with Parquet only
    horizons: list[Annotated[int, Field(ge=1)]] | None = None
    last: int = Field(default=1, ge=1, le=5000)
    calendar: Literal["24/7", "weekdays"] = "24/7"


async def _body(request: Request) -> tuple[str, bytes]:
    return await read_body(request, JSON, PARQUET)


def _asked(kind: str, content: bytes, options: FileOptions, most: int) -> tuple[api.ForecastOptions, Mapping[str, Any]]:
    """Return the options and the candles' columns, at most `most` rows, of either kind of body."""
    if kind == PARQUET:
        if options.interval is None:
            raise UsageError("a Parquet body needs the query parameter interval, such as interval=15m")
        return options, read_candle_file(content, most_rows=most)
    if options.model_fields_set:
        raise UsageError(f"with a JSON body {min(options.model_fields_set)} belongs into the body, not into the query")
    request = parse_json(api.ForecastRequest, content)
    return request, request.candles.model_dump()


@router.post("/forecasts", response_model=api.ComputedForecasts)
async def forecast_own_candles(
    board: BoardNow,
    body: Annotated[tuple[str, bytes], Depends(_body)],
    options: Annotated[FileOptions, Query()],
) -> Response:
    """Forecast from the newest of the caller's own candles, or from each of the last N. The ledger keeps none of it.

    The candles are columns of JSON, or a Parquet file such as `GET /v1/candles?format=parquet` gives; then the other
    fields are query parameters.
    """
    answer = await to_thread.run_sync(_answer, board, *body, options, limiter=_at_once())
    return Response(answer, media_type=JSON)


@cache
def _at_once() -> CapacityLimiter:
    return CapacityLimiter(_AT_ONCE)


def _answer(board: Board, kind: str, content: bytes, given: FileOptions) -> str:
    options, columns = _asked(kind, content, given, board.settings.max_request_candles)
    return own_forecasts(board, options, columns).model_dump_json()


def own_forecasts(board: Board, options: api.ForecastOptions, columns: Mapping[str, Any]) -> api.ComputedForecasts:
    """Return the forecasts of candles that are given as columns; raise the error that names what is wrong with them."""
    interval = Interval.parse(options.interval)
    series = parse_series(options.series) if options.series is not None else None
    if series is not None and series.interval != interval:
        raise UsageError(f"the series {series} does not have the interval {interval}")
    count, most = len(columns["open_time"]), board.settings.max_request_candles
    if count > most:
        raise TooLarge(f"{count} candles are too many; send at most {most}", have=count, most=most)
    candles = _candles(interval, columns)
    if options.calendar == "weekdays":
        found = _on_weekdays(board, options, candles)
    else:
        found = board.own_forecasts(series, candles, options.horizons, options.last)
    return api.ComputedForecasts(
        interval=str(interval),
        series=options.series,
        market=found.market,
        forecasts=list(answers.computed(found.model_version, found.forecasts)),
    )


def _candles(interval: Interval, columns: Mapping[str, Any]) -> Candles:
    try:
        return Candles.of(interval, **columns)
    except InvalidCandles as error:
        row = error.details.get("row")
        if row is None:
            raise
        column = _at_fault(columns, row, error.details["reason"])
        raise InvalidCandles(f"{column} of {error.message}", column=column, **error.details) from None


def _at_fault(columns: Mapping[str, Any], row: int, reason: str) -> str:
    """Return which column's value the reason is about."""
    values = {name: float(columns[name][row]) for name in _VALUES}
    if reason == "not finite":
        return next(name for name, value in values.items() if not np.isfinite(value))
    if reason == "price is not above zero":
        return next(name for name in _PRICES if values[name] <= 0)
    return next((name for name in ("high", "low", "volume") if reason.startswith(name)), "open_time")


def _on_weekdays(board: Board, options: api.ForecastOptions, candles: Candles) -> Computed:
    """Forecast as if the days on which the market was open followed each other, and give them back their dates."""
    if candles.interval is not Interval.D1:
        raise UsageError(f"calendar weekdays is for candles of 1d, not of {candles.interval}")
    if not len(candles):
        return board.own_forecasts(None, candles, options.horizons, options.last)
    series = parse_series(options.series) if options.series is not None else None
    opened, step = candles.open_time, candles.interval.step
    counted = replace(candles, open_time=opened[0] + np.arange(len(candles)) * step)
    found = board.own_forecasts(series, counted, options.horizons, options.last)
    return replace(found, forecasts=[_dated(candles, counted, one) for one in found.forecasts])


def _dated(candles: Candles, counted: Candles, forecast: Forecast) -> Forecast:
    place = round((forecast.cutoff - from_datetime64(counted.open_time[0])) / candles.interval.delta) - 1
    target = place + forecast.horizon
    if target < len(candles):
        target_time = from_datetime64(candles.open_time[target]) + candles.interval.delta
    else:
        target_time = _weekdays_after(from_datetime64(candles.open_time[-1]), target - len(candles) + 1)
        target_time += candles.interval.delta
    cutoff = from_datetime64(candles.open_time[place]) + candles.interval.delta
    return replace(forecast, cutoff=cutoff, target_time=target_time)


def _weekdays_after(day: datetime, count: int) -> datetime:
    """Return the `count`-th day after `day` that is no Saturday and no Sunday; holidays nobody knows here."""
    while count:
        day += timedelta(days=1)
        count -= day.weekday() < _SATURDAY
    return day
