"""Files of the service that the screen passes on, so that a browser needs to reach only the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Annotated, Final, Literal

import httpx
from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import Response, StreamingResponse

from candlecast.client import ApiError, Client, ServiceAway
from ui.own_candles import sample

_SAMPLE: Final = 600
_ATTACHED: Final = {"Content-Disposition": 'attachment; filename="candles.csv"'}
_PASSED_ON: Final = ("content-type", "content-disposition", "content-security-policy", "referrer-policy")


def routes(reader: Client) -> APIRouter:
    """Return the routes `files/ledger.csv`, `files/ledger.parquet`, `files/sample.csv` and `files/drift/{id}`."""
    router = APIRouter(prefix="/files")

    @router.get("/ledger.{kind}")
    def ledger(
        kind: Literal["csv", "parquet"],
        series: Annotated[str, Query(max_length=100)],
        horizon: Annotated[int, Query(ge=1)] = 1,
    ) -> StreamingResponse:
        return _passed(reader.opened("/v1/forecasts", series=series, horizon=horizon, format=kind, origin="live"))

    @router.get("/sample.csv")
    def sample_candles(series: Annotated[str, Query(max_length=100)]) -> Response:
        try:
            candles = reader.candles(series, _SAMPLE)
        except ApiError as error:
            raise HTTPException(error.status, error.message) from None
        except ServiceAway as error:
            raise HTTPException(502, error.message) from None
        return Response(sample(candles), media_type="text/csv; charset=utf-8", headers=_ATTACHED)

    @router.get("/drift/{report}")
    def drift(report: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> StreamingResponse:
        return _passed(reader.opened(f"/v1/drift/{report}/report"))

    return router


def _passed(opened: AbstractContextManager[httpx.Response]) -> StreamingResponse:
    held = ExitStack()
    try:
        answer = held.enter_context(opened)
    except ApiError as error:
        raise HTTPException(error.status, error.message) from None
    except ServiceAway as error:
        raise HTTPException(502, error.message) from None
    headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}

    def pieces() -> Iterator[bytes]:
        with held:
            yield from answer.iter_bytes()

    return StreamingResponse(pieces(), headers=headers | {"x-content-type-options": "nosniff"})
