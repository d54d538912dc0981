"""The service as the screen asks it: the library's client, and what only a screen wants of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import httpx

from candlecast.api import LedgerRow, Problem
from candlecast.client import ApiError, Client

_PAGE: Final = 5000  # as many ledger rows as the service gives at once


class Reader(Client):
    """A client that also reads the ledger page by page and passes files on."""

    @property
    def address(self) -> str:
        """Where the service is."""
        return self._base_url

    @property
    def has_token(self) -> bool:
        """Whether this client may ask for what changes something."""
        return self._token is not None

    def ledger(self, series: str, horizon: int, start: datetime | None, last: int) -> list[LedgerRow]:
        """Return what was answered from `start` on, at most the `last` rows of it, oldest first."""
        rows: list[LedgerRow] = []
        end: datetime | None = None
        while len(rows) < last:
            page = self.forecasts(series, horizon, min(last - len(rows), _PAGE), start=start, end=end)
            rows = page.forecasts + rows
            end = page.next_end
            if end is None:
                break
        return rows

    def endpoints(self) -> Mapping[str, Any]:
        """Return the service's own description of its routes, as OpenAPI."""
        found: Mapping[str, Any] = self._read("/openapi.json").json()
        return found

    @contextmanager
    def file(self, path: str, **query: str | int) -> Iterator[httpx.Response]:
        """Open a file of the service for reading piece by piece. Raises ApiError for an answer that is none."""
        headers = self._authorization(self._reads_with_token)
        with self._http.stream("GET", path, params=query, headers=headers) as answer:
            if not answer.is_success:
                detail = f"{path} answered {answer.status_code} {answer.reason_phrase}".strip()
                problem = Problem(title=answer.reason_phrase, status=answer.status_code, detail=detail, code="no_file")
                raise ApiError(problem, answer.status_code)
            yield answer
