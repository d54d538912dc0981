"""The routes about runs: ask for one, see how far it is, stop it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from candlecast import api
from candlecast.errors import NotFound, UsageError
from candlecast.store import runs
from candlecast.store.runs import Place, RunRow
from service import answers
from service.asked import BoardNow, aware, configured, parse_series
from service.asking import asking
from service.board import Board
from service.bodies import json_body
from service.tokens import Caller, audit

router = APIRouter(prefix="/v1")

RunId = Annotated[int, Path(description="As `GET /v1/runs` names it")]
_PLACE = r"^(request|run)-[0-9]{1,18}$"


@router.get("/runs")
def list_runs(
    board: BoardNow,
    limit: Annotated[int, Query(ge=1, le=500, description="Only the newest N")] = 50,
    job: api.ScheduledJob | None = None,
    request_id: Annotated[int | None, Query(description="Only of this request")] = None,
    before: Annotated[str | None, Query(pattern=_PLACE, description="The `next_before` of the page before")] = None,
) -> api.Runs:
    """Return waiting requests and then runs, both newest first."""
    place = _place(before) if before is not None else None
    with board.database.begin() as connection:
        rows = runs.recent(connection, limit=limit + 1, job=job, request_id=request_id, before=place)
    return answers.runs(rows[:limit], datetime.now(UTC), more=len(rows) > limit)


@router.get("/runs/{run_id}")
def read_run(board: BoardNow, run_id: RunId) -> api.Run:
    """Return one run."""
    return answers.run(_run(board, run_id), datetime.now(UTC))


@router.post("/runs", status_code=202)
def request_run(
    board: BoardNow,
    caller: Caller,
    request: Annotated[api.RunRequest, Depends(json_body(api.RunRequest))],
    response: Response,
    http: Request,
) -> api.Run:
    """Ask for a run. It starts as soon as no other run of its job is going on.

    Ingestion may name series that are not configured: the run adds those that their venue trades.
    """
    parameters = _bounds(request)
    if request.series is not None:
        known = parse_series if request.job == "ingestion" else partial(configured, board)
        parameters["series"] = [str(known(name)) for name in request.series]
    with board.database.begin() as connection:
        request_id = runs.ask(connection, request.job, parameters, requested_by=caller)
        row = runs.recent(connection, limit=1, request_id=request_id)[0]
    audit(http, caller, f"asked for {request.job}", run_request=request_id, **parameters)
    response.headers["Location"] = f"{asking(http.scope).prefix}/v1/runs?request_id={request_id}"
    return answers.run(row, datetime.now(UTC))


def _bounds(request: api.RunRequest) -> dict[str, object]:
    """Return the parameters that only ingestion knows; raise UsageError where they make no sense."""
    bounds = {"start": request.start, "end": request.end}
    moments = {name: aware(name, moment) for name, moment in bounds.items() if moment is not None}
    if len(moments) == 2 and moments["start"] >= moments["end"]:
        raise UsageError("start is not before end")
    found: dict[str, object] = {name: moment.isoformat() for name, moment in moments.items()}
    if request.again:
        found["again"] = True
    if found and request.job != "ingestion":
        raise UsageError(f"{min(found)} is for ingestion; {request.job} decides itself which candles it reads")
    return found


def _place(text: str) -> Place:
    kind, _, number = text.partition("-")
    return Place(kind == "request", int(number))


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel_run(board: BoardNow, run_id: RunId, caller: Caller, http: Request) -> api.Run:
    """Ask that a run stops after its current step. What the schedule started cannot be stopped."""
    row = _run(board, run_id)
    if row.request_id is None:
        raise UsageError(f"run {run_id} was started by the schedule, not asked for; it cannot be cancelled")
    return _cancel(board, row, f"run {run_id}", caller, http)


@router.post("/run-requests/{request_id}/cancel", status_code=202)
def cancel_request(
    board: BoardNow,
    request_id: Annotated[int, Path(description="The `request_id` of a run")],
    caller: Caller,
    http: Request,
) -> api.Run:
    """Take a request back: if its run waits it never starts, if it goes on it stops after its current step."""
    with board.database.begin() as connection:
        found = runs.recent(connection, limit=1, request_id=request_id)
    if not found:
        raise NotFound(f"no request {request_id} waits or was run; GET /v1/runs lists them")
    return _cancel(board, found[0], f"request {request_id}", caller, http)


def _cancel(board: Board, row: RunRow, what: str, caller: str, http: Request) -> api.Run:
    if row.state not in ("queued", "running") or row.request_id is None:
        raise UsageError(f"{what} has ended already: {row.state}")
    with board.database.begin() as connection:
        runs.cancel(connection, row.request_id)
    audit(http, caller, f"cancelled {what}", run_request=row.request_id)
    stopped = replace(row, state="cancelled") if row.state == "queued" else row
    return answers.run(stopped, datetime.now(UTC))


def _run(board: Board, run_id: int) -> RunRow:
    with board.database.begin() as connection:
        row = runs.run(connection, run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id}; GET /v1/runs lists them")
    return row
