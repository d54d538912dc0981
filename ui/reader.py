"""The service as the screen asks it: the library's client, and what only the screen wants of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import httpx

from candlecast.api import (
    ComputedForecasts,
    DriftReports,
    ForecastRequest,
    JobName,
    LedgerRow,
    LedgerRows,
    Problem,
    Run,
    RunRequest,
)
from candlecast.client import ApiError, Client

LEDGER_PAGE: Final = 5000
"""As many ledger rows as the service gives at once."""

_MOST_LEDGER_PAGES = 8


class Reader(Client):
    """A client that also reads drift reports and whole ledgers, passes files on and sends a caller's own candles."""

    @property
    def address(self) -> str:
        """Where the service is."""
        return self._base_url

    @property
    def has_token(self) -> bool:
        """Whether this client may ask for what changes something."""
        return self._token is not None

    def drift(self, venue: str, interval: str, limit: int = 50) -> DriftReports:
        """Return the drift reports of one model's candles, newest first."""
        return self._get(DriftReports, "/v1/drift", venue=venue, interval=interval, limit=limit)

    def ledger(self, series: str, horizon: int, start: datetime | None, last: int) -> list[LedgerRow]:
        """Return what was answered from `start` on, at most the `last` rows of it, oldest first."""
        rows: list[LedgerRow] = []
        end: datetime | None = None
        for _ in range(_MOST_LEDGER_PAGES):
            page = self._get(
                LedgerRows,
                "/v1/forecasts",
                series=series,
                horizon=horizon,
                last=min(last - len(rows), LEDGER_PAGE),
                start=start.isoformat() if start else None,
                end=end.isoformat() if end else None,
            )
            rows = page.forecasts + rows
            end = page.next_end
            if end is None or len(rows) >= last:
                break
        return rows

    def request_run(self, job: JobName, series: Sequence[str] | None = None, start: datetime | None = None) -> Run:
        """Ask for a run of `job`; ingestion fetches from `start` on, where that is given. Needs a token."""
        request = RunRequest(job=job, series=list(series) if series is not None else None, start=start)
        return Run.model_validate_json(self._posted("/v1/runs", request.model_dump(mode="json")).content)

    def cancel(self, request_id: int) -> Run:
        """Take a request back, or let its run stop after the step it is in. Needs a token."""
        return Run.model_validate_json(self._posted(f"/v1/run-requests/{request_id}/cancel", None).content)

    def own_forecasts(self, request: ForecastRequest) -> ComputedForecasts:
        """Return forecasts of a caller's own candles; nothing is written down."""
        answer = self._posted("/v1/forecasts", request.model_dump(mode="json", exclude_none=True))
        return ComputedForecasts.model_validate_json(answer.content)

    def endpoints(self) -> Mapping[str, Any]:
        """Return the service's own description of its routes, as OpenAPI."""
        found: Mapping[str, Any] = self._send("GET", "/openapi.json").json()
        return found

    @contextmanager
    def file(self, path: str, **query: str | int) -> Iterator[httpx.Response]:
        """Open a file of the service for reading piece by piece. Raises ApiError for an answer that is none."""
        with self._http.stream("GET", path, params=query) as answer:
            if not answer.is_success:
                detail = f"{path} answered {answer.status_code} {answer.reason_phrase}".strip()
                problem = Problem(title=answer.reason_phrase, status=answer.status_code, detail=detail, code="no_file")
                raise ApiError(problem, answer.status_code)
            yield answer

    def _posted(self, path: str, body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._send("POST", path, json=body, headers=headers)
