"""Errors as RFC 9457 problem details: the only place that turns the error tree into HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from candlecast.api import Problem
from candlecast.errors import (
    CandlecastError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotJson,
    TemporaryError,
    TooSlow,
    Unauthorized,
    UsageError,
)
from service.asking import asking

MEDIA_TYPE = "application/problem+json"
ERROR_PAGE = "/docs/errors"
"""Where the service explains every error; a problem's `type` is its entry there."""

_RETRY_SECONDS = 5
_MOST_FIELDS = 20
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Refused(HTTPException):
    """A layer around has answered with `error` already. FastAPI lets only this kind through while it reads a body."""

    def __init__(self, error: CandlecastError) -> None:
        super().__init__(error.http_status, error.message)
        self.error = error


def handle_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem body."""
    app.add_exception_handler(CandlecastError, _candlecast_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _hung_up)


def title(error: type[CandlecastError]) -> str:
    """Return a problem's title: the error's name as words."""
    return error.named().replace("_", " ").capitalize()


def problem_response(scope: Scope, error: CandlecastError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that ended in `error`."""
    asked = asking(scope)
    asked.code = error.code
    body = Problem(
        type=f"{asked.prefix}{ERROR_PAGE}#{error.code}",
        title=title(type(error)),
        status=error.http_status,
        detail=error.message,
        code=error.code,
        request_id=asked.id,
        **error.details,
    )
    return JSONResponse(
        body.model_dump(mode="json"), error.http_status, {**_headers(error), **(headers or {})}, MEDIA_TYPE
    )


def invalid_request(problems: Sequence[Mapping[str, Any]], *, within: tuple[str, ...] = ()) -> UsageError:
    """Return the error that names the fields which pydantic found wrong, below `within`."""
    if problems and problems[0]["type"] == "json_invalid":
        reason = problems[0].get("ctx", {}).get("error", "it cannot be read")
        return NotJson(f"the body is not JSON: {reason}")
    errors = [{"where": _where((*within, *one["loc"])), "problem": one["msg"]} for one in problems[:_MOST_FIELDS]]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{errors[0]['where']}: {errors[0]['problem']}{more}", errors=errors)


def _headers(error: CandlecastError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TemporaryError):
        return {"Retry-After": str(round(getattr(error, "retry_after", None) or _RETRY_SECONDS))}
    return {}


async def _candlecast_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CandlecastError)  # noqa: S101  # registered for this class
    return problem_response(request.scope, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class
    return problem_response(request.scope, invalid_request(error.errors()))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return problem_response(request.scope, _named(request, error), headers)


async def _hung_up(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request.scope, TooSlow("the connection ended before the body had arrived; send it again"))


def _methods(request: Request) -> list[str]:
    """Return the methods of every route at the request's address; the framework tells those of one."""

    def answers(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    known = [method for method in _METHODS if answers(method)]
    # What answers GET answers HEAD: see the layer around all routes.
    return sorted({*known, "HEAD"} if "GET" in known else known)


def _named(request: Request, error: HTTPException) -> CandlecastError:
    """Return the error of the tree that an error of the web framework means."""
    if isinstance(error, Refused):
        return error.error
    missing = f"there is no {request.method} {request.url.path}; GET /openapi.json lists what there is"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound(missing)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(missing)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's own, for bytes that are no text or nest too deeply
        return NotJson("the body is not JSON: it cannot be read")
    return InternalError(str(error.detail))


def _where(location: Sequence[Any]) -> str:
    return ".".join(str(part) for part in location) or "request"
