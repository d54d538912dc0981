"""BentoML's own part of the service, made to say what the public API says."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast.errors import (
    CandlecastError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
)
from service.problems import MEDIA_TYPE, problem_response

NATIVE_PATH = "/forecast"
"""Where BentoML's clients ask for a forecast of their own candles."""

_PUBLIC_PATH = "/v1/forecasts"


class NativeAnswers:
    """Answer BentoML's endpoint as `POST /v1/forecasts`, and give what BentoML refuses by itself as a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = False

        async def as_problem(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and _is_foreign(message):
                refused = True
                await problem_response(scope, _error(scope, message["status"]))(scope, receive, send)
            elif not refused:
                await send(message)

        await self.app(_public(scope), receive, as_problem)


def _public(scope: Scope) -> Scope:
    if scope["path"] == NATIVE_PATH and scope["method"] == "POST":
        return {**scope, "path": _PUBLIC_PATH, "raw_path": _PUBLIC_PATH.encode()}
    return scope


def _is_foreign(start: Message) -> bool:
    """Return whether an answer begins that is an error, but no problem of ours."""
    return start["status"] >= HTTPStatus.BAD_REQUEST and Headers(raw=start["headers"]).get("content-type") != MEDIA_TYPE


def _error(scope: Scope, status: int) -> CandlecastError:
    asked = f"{scope['method']} {scope['path']}"
    if scope["path"] == "/readyz":
        return StoreUnavailable("this replica has not reached the database yet")
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"there is no {asked}; GET /openapi.json lists what there is")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(f"there is no {asked}; GET /openapi.json lists what there is")
    return InternalError(f"{asked} failed; the service's log says why")
