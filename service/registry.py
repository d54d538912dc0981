"""The routes about model versions: the registry, promotion by hand, and what evaluation said."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from candlecast import api
from candlecast.errors import UsageError
from candlecast.store import candles as candle_store
from candlecast.store import models, trials
from candlecast.store.clocks import read_clock
from candlecast.xgb import XGBForecaster
from service import answers
from service.asked import BoardNow, SeriesName, parse_series
from service.bodies import json_body
from service.card import model_card
from service.tokens import Caller, audit

router = APIRouter(prefix="/v1")


class MarkdownResponse(PlainTextResponse):
    """Text that a reader may show as it is, or with headings and tables."""

    media_type = "text/markdown"


_ID = r"^[\x21-\x7e]{1,200}$"
ModelId = Annotated[str, Path(description="As `GET /v1/models` names it", pattern=_ID)]
Before = Annotated[str | None, Query(description="The `next_before` of the page before", pattern=_ID)]
Limit = Annotated[int, Query(ge=1, le=500, description="Only the newest N")]


@router.get("/models")
def list_models(board: BoardNow, limit: Limit = 50, before: Before = None) -> api.ModelVersions:
    """Return the newest model versions, why each was promoted or refused, and their hold-out scores."""
    with board.database.begin() as connection:
        found = models.versions(connection, limit=limit + 1, before=before)
        versions = found[:limit]
        scores = models.scores(connection, [version.id for version in versions])
    return api.ModelVersions(
        models=[answers.model_version(one, scores[one.id], board.champions) for one in versions],
        next_before=versions[-1].id if len(found) > limit else None,
    )


@router.get("/models/{model_version}")
def read_model(board: BoardNow, model_version: ModelId) -> api.ModelVersion:
    """Return one model version: what it was trained on, how it was judged, and whether it answers now."""
    with board.database.begin() as connection:
        version = models.version(connection, model_version)
        scores = models.scores(connection, [version.id])[version.id]
    return answers.model_version(version, scores, board.champions)


@router.get("/models/{model_version}/card", response_class=MarkdownResponse)
def read_model_card(board: BoardNow, model_version: ModelId) -> Response:
    """Return the model card: intended use, limits, data, scores, and how it was made, as Markdown."""
    with board.database.begin() as connection:
        version = models.version(connection, model_version)
        scores = models.scores(connection, [version.id])[version.id]
    return MarkdownResponse(model_card(version, scores))


@router.get("/models/{model_version}/trials")
def list_trials(board: BoardNow, model_version: ModelId) -> api.Trials:
    """Return the settings that training tried before it fitted a version, and how they scored."""
    with board.database.begin() as connection:
        version = models.version(connection, model_version)
        found = trials.read(connection, version.id)
    return api.Trials(model_version=version.id, trials=[api.Trial.model_validate(asdict(one)) for one in found])


@router.post("/models/{model_version}/promote")
def promote_model(
    board: BoardNow,
    model_version: ModelId,
    caller: Caller,
    promotion: Annotated[api.Promotion, Depends(json_body(api.Promotion))],
    http: Request,
) -> api.ModelVersion:
    """Make a version the champion of its venue and interval: the way back to one that was better."""
    with board.database.begin() as connection:
        version = models.version(connection, model_version)
        if version.venue is None:
            raise UsageError(f"{version.id} has no venue and interval of its own; it answers where no champion does")
        # A version that cannot be loaded must not be named champion.
        XGBForecaster.from_bytes(models.read_artefacts(connection, version.id), version.manifest)
        now = read_clock(connection, version.venue).now()
        models.promote(connection, version, now=now, reason=f"{caller}: {promotion.reason}")
        promoted = models.version(connection, version.id)
        scores = models.scores(connection, [version.id])[version.id]
    audit(http, caller, f"promoted {version.id}", reason=promotion.reason)
    return answers.model_version(promoted, scores, board.champions)


@router.get("/evaluations")
def list_evaluations(board: BoardNow, series: SeriesName, limit: Limit = 10, before: Before = None) -> api.Evaluations:
    """Return how the newest model versions scored on a series beside the yardsticks, and how the answers score live."""
    wanted = parse_series(series)
    with board.database.begin() as connection:
        candle_store.series_id(connection, wanted)
        kind = (wanted.venue, wanted.interval)
        found = models.versions(connection, limit=limit + 1, kind=kind, before=before)
        versions = found[:limit]
        scores = models.scores(connection, [one.id for one in versions])
    known = board.series.get(wanted)
    return api.Evaluations(
        series=str(wanted),
        live=dict(known.skill) if known else {},
        evaluations=[
            answers.evaluation(one, [score for score in scores[one.id] if score.series == wanted]) for one in versions
        ],
        next_before=versions[-1].id if len(found) > limit else None,
    )
