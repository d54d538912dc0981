"""A small typed client of the HTTP API: what the screen asks with.

CandlecastError
├── ApiError           the service answered with a problem; `problem` says which
│   └── TokenNeeded    401: no token, or a wrong one
└── ServiceAway        nothing answers: connection refused, broken or too slow (a TemporaryError)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from candlecast.api import (
    CandleColumns,
    Coverage,
    JobName,
    LatestForecasts,
    LatestPrices,
    LedgerRows,
    ModelVersions,
    Problem,
    Run,
    RunRequest,
    Runs,
    SeriesList,
    ServiceStatus,
    Shape,
)
from candlecast.errors import CandlecastError, TemporaryError

__all__ = ["ApiError", "Client", "ServiceAway", "TokenNeeded"]

_TEMPORARY = frozenset({429, 502, 503, 504})
_PAUSES = (0.1, 0.3)  # seconds before the second and third attempt: a reader is waiting
_LONGEST_WAIT = 1.0

Answer = TypeVar("Answer", bound=Shape)


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


class TokenNeeded(ApiError):
    """The service wants a token, or another one."""


class ServiceAway(TemporaryError):
    """Nothing answers at the service's address, or not in time."""


class Client:
    """Ask the service at `base_url`; `token` is sent with every request that changes something.

    Reading is tried again, briefly, where the failure may pass; asking for a run never is, because the
    first attempt may have been heard. `timeout` is in seconds and holds for each attempt.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        timeout: float = 10,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._token = token
        self._base_url = base_url
        self._http = httpx.Client(base_url=base_url, timeout=timeout, transport=transport, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._base_url!r}, token={'given' if self._token else None})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def latest_forecasts(self, series: str | None = None, horizon: int | None = None) -> LatestForecasts:
        """Return the newest forecast of each series and horizon, or of those asked for."""
        return self._get(LatestForecasts, "/v1/forecasts/latest", series=series, horizon=horizon)

    def forecasts(self, series: str, horizon: int, last: int, role: str | None = None) -> LedgerRows:
        """Return the last rows of the ledger, oldest first: what was answered, or what `role` said."""
        return self._get(LedgerRows, "/v1/forecasts", series=series, horizon=horizon, last=last, role=role)

    def candles(self, series: str, last: int) -> CandleColumns:
        """Return the last candles, oldest first."""
        return self._get(CandleColumns, "/v1/candles", series=series, last=last)

    def coverage(self, series: str) -> Coverage:
        """Return how complete a series is on every day of the configured window."""
        return self._get(Coverage, f"/v1/series/{series}/coverage")

    def latest_prices(self) -> LatestPrices:
        """Return the prices that closes are held against."""
        return self._get(LatestPrices, "/v1/prices/latest")

    def series(self) -> SeriesList:
        """Return all series with their freshness."""
        return self._get(SeriesList, "/v1/series")

    def models(self) -> ModelVersions:
        """Return the registry, newest first."""
        return self._get(ModelVersions, "/v1/models")

    def runs(self, limit: int = 20) -> Runs:
        """Return runs and waiting requests, newest first."""
        return self._get(Runs, "/v1/runs", limit=limit)

    def run(self, request_id: int) -> Run | None:
        """Return the run that answers a request, or the request while it waits; None when neither is known."""
        found = self._get(Runs, "/v1/runs", request_id=request_id).runs
        return found[0] if found else None

    def request_run(self, job: JobName, series: Sequence[str] | None = None) -> Run:
        """Ask for a run of `job`, over all series or only those given. Needs a token."""
        body = RunRequest(job=job, series=list(series) if series is not None else None)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = self._send("POST", "/v1/runs", json=body.model_dump(mode="json"), headers=headers)
        return _parsed(Run, answer)

    def status(self) -> ServiceStatus:
        """Return the state of the whole product."""
        return self._get(ServiceStatus, "/v1/status")

    def _get(self, shape: type[Answer], path: str, **query: str | int | None) -> Answer:
        params = {name: value for name, value in query.items() if value is not None}
        for pause in _PAUSES:
            try:
                return _parsed(shape, self._send("GET", path, params=params))
            except ServiceAway:
                time.sleep(pause)
            except ApiError as error:
                if error.status not in _TEMPORARY:
                    raise
                time.sleep(min(_retry_after(error.problem) or pause, _LONGEST_WAIT))
        return _parsed(shape, self._send("GET", path, params=params))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise ServiceAway(f"the service at {self._base_url} does not answer in time") from None
        except httpx.TransportError as error:
            raise ServiceAway(f"the service at {self._base_url} cannot be reached: {error}") from None
        if answer.is_success:
            return answer
        problem = _problem(answer)
        raise (TokenNeeded if answer.status_code == 401 else ApiError)(problem, answer.status_code)


def _parsed(shape: type[Answer], answer: httpx.Response) -> Answer:
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
