"""Errors as RFC 9457 problem details: the only place that turns the error tree into HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from candlecast.api import Problem
from candlecast.errors import CandlecastError, RateLimited, TemporaryError, Unauthorized

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/problem+json"


def handle_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem body."""
    app.add_exception_handler(CandlecastError, _candlecast_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return one problem body."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, **more)
    return JSONResponse(body.model_dump(mode="json"), status_code=status, media_type=_MEDIA_TYPE)


async def _candlecast_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CandlecastError)  # noqa: S101  # registered for this class
    response = problem(error.http_status, error.code, error.message, **error.details)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TemporaryError):
        wait = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 5
        response.headers["Retry-After"] = str(round(wait))
    return response


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class
    problems = error.errors()
    if problems and problems[0]["type"] == "json_invalid":
        reason = problems[0].get("ctx", {}).get("error", "it cannot be read")
        return problem(400, "not_json", f"the body is not JSON: {reason}")
    errors = [{"where": _where(one["loc"]), "problem": one["msg"]} for one in problems[:20]]
    first = errors[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problem(422, "invalid_request", f"{first['where']}: {first['problem']}{more}", errors=errors)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    if error.status_code == 400:  # FastAPI's own, for bytes that are no text or nest too deeply
        return problem(400, "not_json", "the body is not JSON: it cannot be read")
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "http_error")
    detail = f"there is no {request.method} {request.url.path}; GET /openapi.json lists what there is"
    response = problem(error.status_code, code, detail if error.status_code in (404, 405) else str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "internal_error", "the service failed on this request; its log says why")


def _where(location: Sequence[Any]) -> str:
    return ".".join(str(part) for part in location) or "request"
