"""`make smoke URL=...`: walk a running service and stop at the first thing that it says and that is not so."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from candlecast import api
from candlecast.candles import Series
from candlecast.client import Client
from candlecast.errors import CandlecastError
from candlecast.program import Parser, run_program
from candlecast.settings import Settings

_ROWS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Lie(CandlecastError):
    """The service contradicts itself, or its document."""


class Walk:
    """One walk over a service."""

    def __init__(self, url: str, token: str | None) -> None:
        self.client = Client(url, token, timeout=30)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, timeout=30, headers=headers)
        self.spoken: list[api.LatestForecast] = []

    def health(self) -> str:
        """The service lives, is ready, and is what it says it is."""
        status = self.client.status()
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/docs/errors"):
            _must(self.http.get(path).is_success, f"{path} does not answer 200")
        about = self.http.get("/").json()
        _must(about.get("service") == "candlecast", f"/ is not candlecast but {about}")
        _must(about["version"] == status.version, f"/ says {about['version']}, /v1/status {status.version}")
        _must(status.database == "ok", "the service cannot reach its database")
        _must(status.ledger_intact is not False, f"the ledger is broken at {status.ledger_broken_at}")
        return f"candlecast {status.version}, {status.ledger_rows} rows in the ledger"

    def document(self) -> str:
        """Every route that needs nothing but its address answers, in the shape of the document."""
        paths = self.http.get("/openapi.json").json()["paths"]
        plain = [path for path, methods in paths.items() if "get" in methods and not _needs(methods["get"])]
        for path in plain:
            answer = self.http.get(path)
            _must(answer.is_success, f"GET {path} answers {answer.status_code}: {answer.text[:200]}")
        for read in (self.client.models, self.client.runs, self.client.drift_reports, self.client.latest_prices):
            read()
        return f"{len(plain)} routes"

    def latest(self) -> str:
        """Each latest forecast is the ledger's row, or says why there is none."""
        for said in self.client.latest_forecasts().forecasts:
            whose = f"the latest forecast of {said.series}, horizon {said.horizon},"
            if said.status == "abstained":
                _must(bool(said.reason and said.detail), f"{whose} abstains without a reason")
                continue
            self.spoken.append(said)
            rows = self.client.forecasts(said.series, said.horizon, last=5).forecasts
            found = [row for row in rows if row.cutoff == said.cutoff and row.model_version == said.model_version]
            _must(len(found) == 1, f"{whose} of {said.cutoff} is not in the ledger")
            _same_forecast(whose, said, found[0])
        return f"{len(self.spoken)} forecasts"

    def series(self) -> str:
        """Of each series coverage adds up."""
        states = self.client.series().series
        for state in states:
            covered = self.client.coverage(state.series)
            parts: list[api.Coverage | api.DayCoverage] = [covered, *covered.days]
            for one in parts:
                counted = one.stored + one.confirmed + one.missing
                _must(counted == one.expected, f"coverage of {state.series}: {counted} candles, not {one.expected}")
            total = sum(day.stored for day in covered.days)
            _must(total == covered.stored, f"coverage of {state.series}: its days have {total}, not {covered.stored}")
        return f"{len(states)} series"

    def exports(self) -> str:
        """Candles and ledger rows are the same in JSON, CSV and Parquet."""
        if not self.spoken:
            return "nothing to export yet"
        said = self.spoken[0]
        candles = self.client.candles(said.series, last=_ROWS)
        step = Series.parse(said.series).interval.delta
        start, end = _moment(candles.open_time[0]), _moment(candles.open_time[-1]) + step
        want = list(zip(candles.open_time, candles.open, candles.close, candles.volume, strict=True))
        for kind, read in _FILES.items():
            rows = read(self.client.candles_file(said.series, kind, start, end))
            have = [(int(row["ts"]), *(float(row[name]) for name in ("open", "close", "volume"))) for row in rows]
            _must(have == want, f"candles of {said.series} differ between JSON and {kind}")
        self._ledger_exports(said.series, said.horizon, end + step)
        return f"{len(want)} candles"

    def _ledger_exports(self, series: str, horizon: int, end: datetime) -> None:
        rows = self.client.forecasts(series, horizon, _ROWS, end=end, origin="live").forecasts
        want = [(row.model_version, row.close, row.realised_close) for row in rows]
        start = rows[0].cutoff if rows else end - timedelta(days=1)
        for kind, read in _FILES.items():
            found = read(self.client.forecasts_file(series, horizon, kind, None, start, end, "live"))
            have = [(row["model_version"], float(row["close"]), _number(row["realised_close"])) for row in found]
            _must(have == want, f"the ledger of {series} differs between JSON and {kind}")

    def own_candles(self) -> str:
        """A caller's own candles get a forecast from their newest, at BentoML's address the same."""
        if not self.spoken:
            return "nobody has candles to send yet"
        said = self.spoken[0]
        candles = self.client.candles(said.series, last=600)
        columns = api.CallerCandles.model_validate(candles.model_dump(include=set(api.CallerCandles.model_fields)))
        request = api.ForecastRequest(interval=candles.interval, horizons=[said.horizon], candles=columns)
        computed = self.client.own_forecasts(request)
        (answer,) = computed.forecasts
        step = Series.parse(said.series).interval.delta
        cutoff = _moment(candles.open_time[-1]) + step
        _must(answer.cutoff == cutoff, f"the candles end at {cutoff}, their forecast is from {answer.cutoff}")
        _must(
            answer.target_time == cutoff + said.horizon * step, f"horizon {said.horizon} ends at {answer.target_time}"
        )
        native = self.http.post("/forecast", json=request.model_dump(mode="json"))
        same = native.is_success and api.ComputedForecasts.model_validate_json(native.content) == computed
        _must(same, f"/forecast does not answer what /v1/forecasts answers: {native.text[:200]}")
        return f"one forecast by {answer.model_version}"

    def problems(self) -> str:
        """What is wrong is answered with its code, and explained where the problem says."""
        wrong: Sequence[tuple[str, int, str, Callable[[], httpx.Response]]] = (
            ("a series that is none", 404, "unknown_series", lambda: self.http.get("/v1/candles?series=nobody")),
            ("an address that is none", 404, "not_found", lambda: self.http.get("/v1/nothing")),
            ("another method", 405, "method_not_allowed", lambda: self.http.delete("/v1/status")),
            ("an unknown parameter", 422, "invalid_request", lambda: self.http.get("/v1/series?nothing=1")),
            ("a body of another kind", 415, "unsupported_media_type", lambda: self.http.post("/v1/forecasts")),
        )
        for what, status, code, ask in wrong:
            answer = ask()
            problem = api.Problem.model_validate(answer.json())
            _must((answer.status_code, problem.code) == (status, code), f"{what} is answered {problem}")
            _must(problem.request_id == answer.headers.get("x-request-id"), f"{what} has two request ids")
            page = self.http.get(httpx.URL(answer.url).join(problem.type))
            _must(f'id="{code}"' in page.text, f"{problem.type} does not explain {code}")
        return f"{len(wrong)} problems"


def main(arguments: list[str] | None = None) -> int:
    """Walk the service that the command line names; return the exit code."""
    parser = Parser(prog="python -m tools.smoke", description=__doc__)
    parser.add_argument("url", help="the service's address, such as http://127.0.0.1:3000")
    given = parser.parse_args(arguments)
    return run_program("smoke", lambda settings: _walk(given.url, settings))


def _walk(url: str, settings: Settings) -> int:
    walk = Walk(url, settings.api_token.get_secret_value() if settings.api_token else None)
    steps = (walk.health, walk.document, walk.latest, walk.series, walk.exports, walk.own_candles, walk.problems)
    for step in steps:
        found = step()
        print(f"ok  {(step.__doc__ or '').rstrip('.')}: {found}", flush=True)  # noqa: T201
    return 0


def _must(holds: bool, lie: str) -> None:
    if not holds:
        raise Lie(lie)


def _same_forecast(whose: str, said: api.LatestForecast, row: api.LedgerRow) -> None:
    close = said.point.close if said.point else None
    pairs: dict[str, tuple[Any, Any]] = {
        "close": (close, row.close),
        "last_close": (said.last_close, row.last_close),
        "p_up": (said.p_up, row.p_up),
        "intervals": (said.intervals, row.intervals),
        "target_time": (said.target_time, row.target_time),
        "issued_at": (said.issued_at, row.issued_at),
    }
    for name, (answered, written) in pairs.items():
        _must(answered == written, f"{whose} says {name} {answered}, the ledger {written}")


def _needs(operation: Any) -> bool:
    return any(parameter["required"] for parameter in operation["parameters"])


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _csv(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def _parquet(content: bytes) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


_FILES: Mapping[Literal["csv", "parquet"], Callable[[bytes], list[dict[str, Any]]]] = {"csv": _csv, "parquet": _parquet}


if __name__ == "__main__":
    sys.exit(main())
