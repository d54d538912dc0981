"""The public API: every route of `/v1`."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from candlecast import api, metrics
from candlecast.candles import Interval
from candlecast.errors import StoreUnavailable
from candlecast.store import candles as candle_store
from candlecast.store import drift, ledger, models
from candlecast.store.clocks import read_clock
from service import answers, explanation, own_candles, pages, ready, registry, running, stored, track_record
from service.asked import BoardNow
from service.board import Board
from service.document import known_parameters
from service.follower import Follower
from service.loaded import LoadedModels
from service.problems import handle_problems
from service.processes import ServiceProcesses

# A check that is older says nothing about the ledger of now.
_AUDIT_COUNTS = timedelta(minutes=10)

# The page is one file of Evidently's with its scripts inside: it may run them and draw, load nothing, send nothing,
# and being sandboxed it is a stranger to this origin.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
)

router = APIRouter(prefix="/v1")


def create_api() -> FastAPI:
    """Return the app; whoever serves it sets `board`, `ready`, `gate` and `follower` of its state first."""
    app = FastAPI(
        title="candlecast",
        version=version("candlecast"),
        summary="Forecasts of crypto candles, written down before the future is known and scored after",
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    handle_problems(app)
    modules = (track_record, explanation, own_candles, stored, registry, running)
    for routes in (ready.router, router, *(module.router for module in modules)):
        app.include_router(routes, dependencies=[Depends(known_parameters)])
    app.include_router(pages.router)
    app.add_api_route("/metrics", exposition, methods=["GET"], include_in_schema=False)
    return app


@router.get("/series")
def list_series(board: BoardNow) -> api.SeriesList:
    """Return what is configured or stored, and how fresh it is."""
    with board.database.begin() as connection:
        extents = candle_store.extents(connection)
        champions = models.champions(connection)
        clocks = {venue: read_clock(connection, venue) for venue in {extent.series.venue for extent in extents}}
    states = [
        answers.series_state(
            extent,
            clocks[extent.series.venue].now(),
            champions.get((extent.series.venue, extent.series.interval)),
            configured=extent.series in board.series,
        )
        for extent in extents
    ]
    order = {str(series): place for place, series in enumerate(board.series)}
    states.sort(key=lambda state: order.get(state.series, len(order)))
    return api.SeriesList(series=states, horizons=list(board.settings.horizons))


@router.get("/drift")
def list_drift(
    board: BoardNow,
    venue: Annotated[str | None, Query(pattern="^[a-z]+$", description="Such as `binance`")] = None,
    interval: Annotated[str | None, Query(description="Such as `15m`")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="The `next_before` of the page before")] = None,
) -> api.DriftReports:
    """Return the newest drift reports: how far features and forecasts have moved since training."""
    wanted = Interval.parse(interval) if interval is not None else None
    with board.database.begin() as connection:
        found = drift.reports(connection, limit=limit + 1, venue=venue, interval=wanted, before=before)
    return api.DriftReports(
        reports=[answers.drift_report(report) for report in found[:limit]],
        next_before=found[limit - 1].id if len(found) > limit else None,
    )


@router.get("/drift/{report_id}/report", response_class=HTMLResponse)
def read_drift_page(
    board: BoardNow,
    report_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Return the page of a drift report: one HTML file that asks nothing of any other host."""
    with board.database.begin() as connection:
        page = drift.page(connection, report_id)
    headers = {
        "Content-Security-Policy": _PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in accept_encoding:
        return HTMLResponse(page, headers=headers | {"Content-Encoding": "gzip"})
    return HTMLResponse(gzip.decompress(page), headers=headers)


@router.get("/status")
def read_status(request: Request, board: BoardNow) -> api.ServiceStatus:
    """Return the state of the whole product."""
    follower: Follower = request.app.state.follower
    states = board.series.items()
    fresh = sum(
        state.newest is not None and state.clock.now() - state.newest < 3 * series.interval.delta
        for series, state in states
    )
    clocks = {series.venue: state.clock for series, state in states}
    audit = follower.audit
    if audit and datetime.now(UTC) - audit.checked_at > _AUDIT_COUNTS:
        audit = None
    return api.ServiceStatus(
        version=version("candlecast"),
        database="away" if board.away_since else "ok",
        venues=[
            api.VenueState(venue=venue, now=clock.now(), clock_speed=clock.speed, simulated=venue == answers.SIMULATED)
            for venue, clock in sorted(clocks.items())
        ],
        series=len(states),
        fresh_series=fresh,
        champions=len({(series.venue, series.interval) for series, state in states if state.champion}),
        ledger_rows=_ledger_rows(board, follower),
        ledger_intact=audit.state.intact if audit else None,
        ledger_checked_at=audit.checked_at if audit else None,
        ledger_broken_at=audit.state.broken_at if audit else None,
        answering=answers.answering(board),
    )


def _ledger_rows(board: Board, follower: Follower) -> int:
    try:
        with board.database.begin() as connection:
            return ledger.length(connection)
    except StoreUnavailable:
        return follower.audit.state.rows if follower.audit else 0


def exposition(request: Request) -> Response:
    """Return Prometheus' metrics."""
    found = metrics.exposition([ServiceProcesses(), LoadedModels(request.app.state.board)])
    return Response(found, media_type="text/plain; version=0.0.4; charset=utf-8")
