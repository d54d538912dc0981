"""The routes about what was said and what came: live, and what evaluation would have said before that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from candlecast import api
from candlecast.candles import Series
from candlecast.store import candles as candle_store
from candlecast.store import evaluations, ledger, live
from candlecast.store.evaluations import EVER, Hindsight, Recalled
from candlecast.store.export import LEDGER_KINDS, Batch, stream_hindsight, stream_ledger
from candlecast.store.ledger import Scored
from service import answers
from service.asked import BoardNow, Last, SeriesName, aware, parse_series
from service.board import Board
from service.exports import FILES, FileFormat, file_response

router = APIRouter(prefix="/v1")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which forecasts a request is about: with a role only live ones in it, with an origin only those."""

    series: Series
    horizon: int
    start: datetime | None
    end: datetime | None
    role: str | None
    origin: api.Origin | None

    def rows(self, connection: Connection, most: int) -> list[Scored | Recalled]:
        """Return at least the newest `most` rows, where there are as many."""
        found: list[Scored | Recalled] = []
        if self._live:
            bounds: dict[str, Any] = {"start": self.start, "end": self.end}
            # A cutoff may have a row of the champion and one of the baseline.
            live = ledger.read(connection, self.series, self.horizon, roles=self._roles, last=2 * most, **bounds)
            found += live if self.role else _answered(live)
        if self._recalled:
            bounds = {"start": self.start or EVER[0], "end": self.end or EVER[1], "origin": self._hindsight}
            found += evaluations.read(connection, self.series, self.horizon, rows=most, **bounds)
        return found

    def batches(self, board: Board) -> Iterator[Batch]:
        """Yield all of them for a file."""
        bounds: dict[str, Any] = {"horizon": self.horizon, "start": self.start, "end": self.end}
        if self._recalled:
            yield from stream_hindsight(board.database, self.series, origin=self._hindsight, **bounds)
        if self._live:
            answered = self.role is None
            yield from stream_ledger(board.database, self.series, roles=self._roles, answered=answered, **bounds)

    @property
    def _live(self) -> bool:
        return self.origin in (None, "live")

    @property
    def _recalled(self) -> bool:
        return self.role is None and self.origin != "live"

    @property
    def _hindsight(self) -> Hindsight | None:
        return None if self.origin == "live" else self.origin

    @property
    def _roles(self) -> tuple[str, ...]:
        return (self.role,) if self.role else ("champion", "baseline")


def _answered(rows: Sequence[Scored]) -> list[Scored]:
    """Keep for each cutoff the champion's row where there is one, else the baseline's."""
    by_cutoff: dict[datetime, Scored] = {}
    for row in rows:
        cutoff = row.entry.forecast.cutoff
        if cutoff not in by_cutoff or row.entry.role == "champion":
            by_cutoff[cutoff] = row
    return list(by_cutoff.values())


@router.get("/forecasts", response_model=api.LedgerRows, responses=FILES)
def read_ledger(
    board: BoardNow,
    series: SeriesName,
    wanted_file: FileFormat,
    horizon: Annotated[int, Query(ge=1, le=2**15 - 1)] = 1,
    last: Last = 500,
    start: api.Moment | None = None,
    end: api.Moment | None = None,
    role: Annotated[
        str | None,
        Query(pattern="^(champion|challenger|baseline)$", description="Only what was said live in it"),
    ] = None,
    origin: Annotated[api.Origin | None, Query(description="All origins when left out")] = None,
) -> api.LedgerRows | Response:
    """Return forecasts with start <= cutoff < end, and what came: what was answered, and where nothing was, hindsight.

    Rows of `origin` live are the ledger's, and only they count as a track record. The others are what a model version
    would have said. JSON holds the newest `last` rows, a file all: hindsight first.
    """
    wanted = parse_series(series)
    first, beyond = start and aware("start", start), end and aware("end", end)
    asked = _Asked(wanted, horizon, first, beyond, role, origin)
    if wanted_file:
        with board.database.begin() as connection:
            candle_store.series_id(connection, wanted)
        return file_response(asked.batches(board), LEDGER_KINDS, wanted_file, "forecasts", wanted)
    with board.database.begin() as connection:
        rows = asked.rows(connection, last + 1)
    return answers.ledger_rows(wanted, rows, last)


@router.get("/live-scores")
def read_live_scores(
    board: BoardNow,
    series: SeriesName,
    horizon: Annotated[int, Query(ge=1, le=2**15 - 1)] = 1,
    role: Annotated[
        str, Query(pattern="^(champion|challenger)$", description="Whose forecasts, of those said live in it")
    ] = "champion",
) -> api.LiveScores:
    """Return how what was said live has scored over the last hour, day, week and 30 days before the newest candle.

    Challengers are never served: what they said beside the champion is written down, and scored in the same way.
    """
    wanted = parse_series(series)
    with board.database.begin() as connection:
        candle_store.series_id(connection, wanted)
        end = candle_store.newest_close_times(connection).get(wanted)
        found = live.scores(connection, wanted, horizon, end, role) if end else {}
    return answers.live_scores(wanted, horizon, end, found)
