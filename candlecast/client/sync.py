"""The client for programs that wait for each answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from candlecast import api
from candlecast.client import base
from candlecast.client.base import Answer, ApiError, Query, ServiceAway


class Client:
    """Ask the service at `base_url`; `token` is sent with what changes something, and where reading needs one.

    Reading is tried again, briefly, where the failure may pass; what changes something never is, because the
    first attempt may have been heard. `timeout` is in seconds and holds for each attempt. Every method raises ApiError
    for a problem that the service answers, TokenNeeded for a 401, ServiceBusy for a 429, ServiceAway where nothing
    answers.
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
        self._reads_with_token = False
        self._http = httpx.Client(base_url=base_url, timeout=timeout, transport=transport, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._base_url!r}, token={'given' if self._token else None})"

    @property
    def address(self) -> str:
        """Where the service is."""
        return self._base_url

    @property
    def has_token(self) -> bool:
        """Whether this client may ask for what changes something."""
        return self._token is not None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def latest_forecasts(self, series: str | None = None, horizon: int | None = None) -> api.LatestForecasts:
        """Return the newest forecast of each series and horizon, or of those asked for."""
        return self._get(api.LatestForecasts, "/v1/forecasts/latest", series=series, horizon=horizon)

    def explanation(self, series: str, horizon: int) -> api.Explanation:
        """Return what led to the newest forecast of a series and horizon."""
        return self._get(api.Explanation, "/v1/forecasts/latest/explanation", series=series, horizon=horizon)

    def own_forecasts(self, request: api.ForecastRequest) -> api.ComputedForecasts:
        """Return forecasts of a caller's own candles; nothing is written down."""
        return self._post(api.ComputedForecasts, "/v1/forecasts", request)

    def forecasts(
        self,
        series: str,
        horizon: int,
        last: int,
        role: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        origin: api.Origin | None = None,
    ) -> api.LedgerRows:
        """Return the last forecasts, oldest first: what was answered, or hindsight; or what `role` said.

        More of them than the service gives at once are asked for page by page.
        """
        asked: dict[str, Query] = {"series": series, "horizon": horizon, "role": role, "start": start, "origin": origin}
        rows: list[api.LedgerRow] = []
        while True:
            count = min(last - len(rows), base.MOST_ROWS)
            page = self._get(api.LedgerRows, "/v1/forecasts", **asked, last=count, end=end)
            rows, end = page.forecasts + rows, page.next_end
            if end is None or len(rows) >= last:
                return api.LedgerRows(forecasts=rows, next_end=end)

    def forecasts_file(
        self,
        series: str,
        horizon: int,
        format: Literal["csv", "parquet"],  # noqa: A002  # the API's word
        role: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        origin: api.Origin | None = None,
    ) -> bytes:
        """Return all forecasts as a file, hindsight first."""
        asked: dict[str, Query] = {"series": series, "horizon": horizon, "format": format}
        return self._read("/v1/forecasts", **asked, role=role, start=start, end=end, origin=origin).content

    def live_scores(self, series: str, horizon: int) -> api.LiveScores:
        """Return how what was said live has scored over recent windows."""
        return self._get(api.LiveScores, "/v1/live-scores", series=series, horizon=horizon)

    def candles(
        self, series: str, last: int, start: datetime | None = None, end: datetime | None = None
    ) -> api.CandleColumns:
        """Return the last candles, oldest first."""
        return self._get(api.CandleColumns, "/v1/candles", series=series, last=last, start=start, end=end)

    def candles_file(
        self,
        series: str,
        format: Literal["csv", "parquet"],  # noqa: A002  # the API's word
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> bytes:
        """Return all candles as a file."""
        return self._read("/v1/candles", series=series, format=format, start=start, end=end).content

    def coverage(self, series: str, start: datetime | None = None, end: datetime | None = None) -> api.Coverage:
        """Return how complete a series is on every day, of the configured window where no other is named."""
        return self._get(api.Coverage, f"/v1/series/{base.segment(series)}/coverage", start=start, end=end)

    def latest_prices(self) -> api.LatestPrices:
        """Return the prices that closes are held against."""
        return self._get(api.LatestPrices, "/v1/prices/latest")

    def series(self) -> api.SeriesList:
        """Return all series with their freshness."""
        return self._get(api.SeriesList, "/v1/series")

    def models(self, limit: int | None = None, before: str | None = None) -> api.ModelVersions:
        """Return the registry, newest first."""
        return self._get(api.ModelVersions, "/v1/models", limit=limit, before=before)

    def model(self, model_version: str) -> api.ModelVersion:
        """Return one model version."""
        return self._get(api.ModelVersion, f"/v1/models/{base.segment(model_version)}")

    def model_card(self, model_version: str) -> str:
        """Return the model card of a version as Markdown."""
        return self._read(f"/v1/models/{base.segment(model_version)}/card").text

    def trials(self, model_version: str) -> api.Trials:
        """Return the settings that were tried for a version."""
        return self._get(api.Trials, f"/v1/models/{base.segment(model_version)}/trials")

    def promote_model(self, model_version: str, reason: str) -> api.ModelVersion:
        """Make a version the champion of its venue and interval. Needs a token."""
        path = f"/v1/models/{base.segment(model_version)}/promote"
        return self._post(api.ModelVersion, path, api.Promotion(reason=reason))

    def evaluations(self, series: str, limit: int, before: str | None = None) -> api.Evaluations:
        """Return how a series was forecast, live and on hold-outs."""
        return self._get(api.Evaluations, "/v1/evaluations", series=series, limit=limit, before=before)

    def drift_reports(
        self,
        venue: str | None = None,
        interval: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> api.DriftReports:
        """Return drift reports, newest first."""
        asked: dict[str, Query] = {"venue": venue, "interval": interval, "limit": limit, "before": before}
        return self._get(api.DriftReports, "/v1/drift", **asked)

    def drift_page(self, report_id: int) -> str:
        """Return the HTML page of a drift report."""
        return self._read(f"/v1/drift/{report_id}/report").text

    def runs(self, limit: int = 20, job: api.ScheduledJob | None = None, before: str | None = None) -> api.Runs:
        """Return waiting requests and then runs, both newest first."""
        return self._get(api.Runs, "/v1/runs", limit=limit, job=job, before=before)

    def run(self, request_id: int) -> api.Run | None:
        """Return the run that answers a request, or the request while it waits; None when neither is known."""
        found = self._get(api.Runs, "/v1/runs", request_id=request_id).runs
        return found[0] if found else None

    def run_by_id(self, run_id: int) -> api.Run:
        """Return one run."""
        return self._get(api.Run, f"/v1/runs/{run_id}")

    def request_run(
        self,
        job: api.JobName,
        series: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        again: bool = False,
    ) -> api.Run:
        """Ask for a run of `job`, over all series or only those given; ingestion of start <= open_time < end.

        With `again` ingestion also asks for what is stored. Needs a token.
        """
        names = list(series) if series is not None else None
        body = api.RunRequest(job=job, series=names, start=start, end=end, again=again)
        return self._post(api.Run, "/v1/runs", body)

    def cancel_run(self, run_id: int) -> api.Run:
        """Ask that a run stops after its current step. Needs a token."""
        return self._post(api.Run, f"/v1/runs/{run_id}/cancel")

    def cancel_request(self, request_id: int) -> api.Run:
        """Take a request back, or let its run stop after its current step. Needs a token."""
        return self._post(api.Run, f"/v1/run-requests/{request_id}/cancel")

    def status(self) -> api.ServiceStatus:
        """Return the state of the whole product."""
        return self._get(api.ServiceStatus, "/v1/status")

    def document(self) -> dict[str, Any]:
        """Return the service's own description of its routes, as OpenAPI."""
        found: dict[str, Any] = self._read("/openapi.json").json()
        return found

    @contextmanager
    def opened(self, path: str, **query: Query) -> Iterator[httpx.Response]:
        """Open an answer for reading it piece by piece: a file that is too large to hold, or to pass on."""
        answer = self._fetched(path, base.query(query), stream=True)
        try:
            yield answer
        finally:
            answer.close()

    def _get(self, shape: type[Answer], path: str, **query: Query) -> Answer:
        return base.parsed(shape, self._read(path, **query))

    def _read(self, path: str, **query: Query) -> httpx.Response:
        return self._fetched(path, base.query(query), stream=False)

    def _fetched(self, path: str, params: Mapping[str, Any], *, stream: bool) -> httpx.Response:
        for pause in base.PAUSES:
            try:
                return self._fetched_once(path, params, stream=stream)
            except (ApiError, ServiceAway) as error:
                time.sleep(base.pause_before_next(error, pause))
        return self._fetched_once(path, params, stream=stream)

    def _fetched_once(self, path: str, params: Mapping[str, Any], *, stream: bool) -> httpx.Response:
        try:
            headers = self._authorization(self._reads_with_token)
            return self._send("GET", path, params=params, headers=headers, stream=stream)
        except base.TokenNeeded:
            if self._reads_with_token or not self._token:
                raise
        self._reads_with_token = True
        return self._send("GET", path, params=params, headers=self._authorization(True), stream=stream)

    def _post(self, shape: type[Answer], path: str, body: api.Shape | None = None) -> Answer:
        content = body.model_dump(mode="json", exclude_defaults=True) if body is not None else None
        return base.parsed(shape, self._send("POST", path, json=content, headers=self._authorization(True)))

    def _authorization(self, wanted: bool) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if wanted and self._token else {}

    def _send(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        request = self._http.build_request(method, path, **options)
        try:
            answer = self._http.send(request, stream=stream)
            if not answer.is_success:
                answer.read()
        except httpx.TransportError as error:
            raise base.away(self._base_url, error) from None
        base.require_success(answer)
        return answer
