"""POST /v1/forecasts: what the champion, or the baseline, says about a caller's own candles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from pydantic_core import to_json

from candlecast import api
from candlecast.candles import Candles, Interval, Series, from_datetime64
from candlecast.errors import DataError, InvalidCandles, TooLarge, UsageError
from candlecast.forecast import Forecast
from candlecast.store.files import read_candle_file
from service import answers
from service.asked import BoardNow, parse_series
from service.board import Board, Computed
from service.bodies import JSON, PARQUET, parse_json, read_body
from service.lanes import Lane, Lanes

router = APIRouter(prefix="/v1")

_PRICES = ("open", "high", "low", "close")
_VALUES = (*_PRICES, "volume")
_SATURDAY = 5

_QUICK_BYTES = 200_000
"""Largest body that is read in the quick lane: some thousand candles."""

_QUICK_CUTOFFS = 200
"""So many cutoffs are forecast at a stretch; a request for more of them goes on in the slow lane, piece by piece."""


class FileOptions(api.ForecastOptions):
    """The options of a Parquet body, which has no place for them; with JSON they belong into the body."""

    interval: str | None = None  # type: ignore[assignment]  # needed with Parquet only
    horizons: list[Annotated[int, Field(ge=1)]] | None = None
    last: int = Field(default=1, ge=1, le=5000)
    calendar: Literal["24/7", "weekdays"] = "24/7"


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """What was said of some cutoffs: by whom, as the items of a list in JSON, and whether the market was seen."""

    model_version: str
    items: bytes
    market: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A request that was read: candles as they are dated, and as they are counted where weekends do not count."""

    board: Board
    options: api.ForecastOptions
    series: Series | None
    dated: Candles
    counted: Candles

    @classmethod
    def of(cls, board: Board, options: api.ForecastOptions, columns: Mapping[str, Any]) -> Self:
        """Check what was asked; raise the error that names what is wrong with it."""
        interval = Interval.parse(options.interval)
        series = parse_series(options.series) if options.series is not None else None
        if series is not None and series.interval != interval:
            raise UsageError(f"the series {series} does not have the interval {interval}")
        count, most = len(columns["open_time"]), board.settings.max_request_candles
        if count > most:
            raise TooLarge(f"{count} candles are too many; send at most {most}", have=count, most=most)
        candles = _candles(interval, columns)
        if options.calendar == "24/7":
            return cls(board, options, series, candles, candles)
        return cls(board, options, series, candles, _counted(candles))

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield by how many of the newest candles to leave out, and how many cutoffs to forecast, oldest first."""
        for left in range(self.options.last, 0, -_QUICK_CUTOFFS):
            count = min(left, _QUICK_CUTOFFS)
            yield left - count, count

    def said(self, left_out: int, count: int) -> _Piece:
        """Forecast from the `count` cutoffs before the newest `left_out` candles."""
        try:
            found = self._computed(self.counted[: max(len(self.counted) - left_out, 0)], count)
        except DataError:
            # In the words of the whole request: what is missing is missing there too, and looked for first.
            self._computed(self.counted, self.options.last)
            raise
        said = found.forecasts
        if self.counted is not self.dated:
            said = [_dated(self.dated, self.counted, one) for one in said]
        return _Piece(
            found.model_version,
            to_json(list(answers.computed(found.model_version, said)), inf_nan_mode="null")[1:-1],
            found.market,
        )

    def _computed(self, candles: Candles, last: int) -> Computed:
        found: Computed = self.board.own_forecasts(self.series, candles, self.options.horizons, last)
        return found

    def answer(self, pieces: Sequence[_Piece]) -> bytes:
        """Return the answer that is `api.ComputedForecasts` in JSON."""
        head = to_json({"interval": self.options.interval, "series": self.options.series, "market": pieces[-1].market})
        items = b",".join(piece.items for piece in pieces)
        return b'%b,"forecasts":[%b]}' % (head[:-1], items)


async def _body(request: Request) -> tuple[str, bytes]:
    return await read_body(request, JSON, PARQUET)


@router.post("/forecasts", response_model=api.ComputedForecasts)
async def forecast_own_candles(
    http: Request,
    board: BoardNow,
    body: Annotated[tuple[str, bytes], Depends(_body)],
    options: Annotated[FileOptions, Query()],
) -> Response:
    """Forecast from the newest of the caller's own candles, or from each of the last N. The ledger keeps none of it.

    The candles are columns of JSON, or a Parquet file such as `GET /v1/candles?format=parquet` gives; then the other
    fields are query parameters.
    """
    lanes: Lanes = http.app.state.lanes
    kind, content = body
    if len(content) > _QUICK_BYTES:
        with lanes.slow.place():
            begun = await lanes.slow.run(_begun, board, kind, content, options)
            answer = await _finished(begun, lanes.slow)
    else:
        with lanes.quick.place():
            begun = await lanes.quick.run(_begun, board, kind, content, options)
        if isinstance(begun, bytes):
            answer = begun
        else:
            with lanes.slow.place():
                answer = await _finished(begun, lanes.slow)
    return Response(answer, media_type=JSON)


def _begun(board: Board, kind: str, content: bytes, given: FileOptions) -> bytes | _Task:
    """Return the answer where it is made in one piece, else what is to be done."""
    task = _Task.of(board, *_asked(kind, content, given, board.settings.max_request_candles))
    return task if task.options.last > _QUICK_CUTOFFS else _whole(task)


def _whole(task: _Task) -> bytes:
    return task.answer([task.said(*piece) for piece in task.pieces()])


async def _finished(begun: bytes | _Task, lane: Lane) -> bytes:
    """Return the answer, one piece after the other, all by one forecaster even if another is promoted meanwhile."""
    if isinstance(begun, bytes):
        return begun
    while True:
        pieces = [await lane.run(begun.said, *piece) for piece in begun.pieces()]
        if len({piece.model_version for piece in pieces}) == 1:
            return await lane.run(begun.answer, pieces)


def own_forecasts(board: Board, request: api.ForecastRequest) -> api.ComputedForecasts:
    """Return the forecasts of candles that are given as columns; raise the error that names what is wrong with them."""
    return api.ComputedForecasts.model_validate_json(_whole(_Task.of(board, request, dict(request.candles))))


def _asked(kind: str, content: bytes, options: FileOptions, most: int) -> tuple[api.ForecastOptions, Mapping[str, Any]]:
    """Return the options and the candles' columns, at most `most` rows, of either kind of body."""
    if kind == PARQUET:
        if options.interval is None:
            raise UsageError("a Parquet body needs the query parameter interval, such as interval=15m")
        return options, read_candle_file(content, most_rows=most)
    if options.model_fields_set:
        raise UsageError(f"with a JSON body {min(options.model_fields_set)} belongs into the body, not into the query")
    request = parse_json(api.ForecastRequest, content)
    return request, dict(request.candles)


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


def _counted(candles: Candles) -> Candles:
    """Return daily candles as if the days on which the market was open followed each other."""
    if candles.interval is not Interval.D1:
        raise UsageError(f"calendar weekdays is for candles of 1d, not of {candles.interval}")
    step = np.arange(len(candles)) * candles.interval.step
    return replace(candles, open_time=candles.open_time[:1] + step) if len(candles) else candles


def _dated(candles: Candles, counted: Candles, forecast: Forecast) -> Forecast:
    """Return a forecast of counted candles with the dates that its candles really have."""
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
