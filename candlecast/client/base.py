"""What both clients share: errors, and how an answer is read.

CandlecastError
├── ApiError           the service answered with a problem; `problem` says which
│   ├── TokenNeeded    401: no token, or a wrong one
│   └── ServiceBusy    429: too much is asked at once; `retry_after` says when to come back
└── ServiceAway        nothing answers: connection refused, broken or too slow (a TemporaryError)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from candlecast.api import Problem, Shape
from candlecast.errors import CandlecastError, TemporaryError

PAUSES = (0.1, 0.3)
"""Seconds before the second and third attempt: a reader is waiting."""

MOST_ROWS = 5000
"""As many rows of the ledger as the service gives at once."""

_TEMPORARY = frozenset({429, 502, 503, 504})
_LONGEST_WAIT = 1.0

Answer = TypeVar("Answer", bound=Shape)
Query = str | int | datetime | list[int] | None


class ApiError(CandlecastError):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, problem: Problem, status: int) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.status = status

    @property
    def code(self) -> str:
        """Return the service's word for the error, such as `unknown_series`."""
        return self.problem.code

    @property
    def retry_after(self) -> float | None:
        """Return after how many seconds the service wants to be asked again, None where it does not say."""
        return _retry_after(self.problem)


class TokenNeeded(ApiError):
    """The service wants a token, or another one."""


class ServiceBusy(ApiError):
    """The service has more to do, or has heard more wrong tokens, than it takes on now."""


class ServiceAway(TemporaryError):
    """Nothing answers at the service's address, or not in time."""


_KINDS: Mapping[int, type[ApiError]] = {
    httpx.codes.UNAUTHORIZED: TokenNeeded,
    httpx.codes.TOO_MANY_REQUESTS: ServiceBusy,
}


def query(given: Mapping[str, Query]) -> dict[str, Any]:
    """Return the parameters that were given, times as RFC 3339."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.items()
        if value is not None
    }


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe=":")


def pause_before_next(error: ApiError | ServiceAway, pause: float) -> float:
    """Return how long to wait before reading again; raise the error where that cannot help."""
    if isinstance(error, ServiceAway):
        return pause
    if error.status not in _TEMPORARY:
        raise error
    return min(error.retry_after or pause, _LONGEST_WAIT)


def away(base_url: str, error: httpx.TransportError) -> ServiceAway:
    """Return the error that says why nothing answers."""
    if isinstance(error, httpx.TimeoutException):
        return ServiceAway(f"the service at {base_url} does not answer in time")
    return ServiceAway(f"the service at {base_url} cannot be reached: {error}")


def require_success(answer: httpx.Response) -> None:
    """Raise ApiError, or the kind of it that fits, for an answer that is a problem; its body must have been read."""
    if not answer.is_success:
        raise _KINDS.get(answer.status_code, ApiError)(_problem(answer), answer.status_code)


def parsed(shape: type[Answer], answer: httpx.Response) -> Answer:
    """Return an answer as its shape; raise ApiError for one of another version."""
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ApiError(
            Problem(
                title="Unreadable answer",
                status=answer.status_code,
                detail=f"{answer.url.path} answered in a shape this version does not know ({where}: {first['msg']}); "
                "run the screen and the service from the same version",
                code="unreadable_answer",
            ),
            answer.status_code,
        ) from None


def _problem(answer: httpx.Response) -> Problem:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        # A proxy in between, or a crash before our own error shape.
        problem = Problem(
            title=answer.reason_phrase or "Error",
            status=answer.status_code,
            detail=f"{answer.url.path} answered {answer.status_code} {answer.reason_phrase}".strip(),
            code=f"http_{answer.status_code}",
        )
    retry_after = answer.headers.get("retry-after")
    extra: Mapping[str, Any] = {"retry_after": retry_after} if retry_after else {}
    return problem.model_copy(update=extra)


def _retry_after(problem: Problem) -> float | None:
    given = getattr(problem, "retry_after", None)
    try:
        return max(0.0, float(given)) if given is not None else None
    except (TypeError, ValueError):
        return None  # an HTTP date; the short pause is as good
