"""Examples about runs."""

from __future__ import annotations

from collections.abc import Mapping

from candlecast import api
from candlecast.errors import NotFound, UnknownSeries, UsageError
from service.examples.example import NOW, WITH_BODY, Example

_RUN = api.Run(
    id=7,
    request_id=3,
    job="training",
    state="running",
    requested_by="anna",
    requested_at=NOW,
    parameters={},
    started_at=NOW,
    finished_at=None,
    elapsed_seconds=8.2,
    done=2,
    failed=0,
    target=3,
    rows=0,
    message="binance 15m: fitting",
    rate=0.24,
    eta_seconds=4.1,
    exit_code=None,
    error_code=None,
    error=None,
    log=[api.LogLine(at=NOW, level="info", message="binance 15m: features are built")],
)
_WAITING = _RUN.model_copy(
    update={
        "id": None,
        "state": "queued",
        "started_at": None,
        "elapsed_seconds": None,
        "done": 0,
        "target": None,
        "message": None,
        "rate": None,
        "eta_seconds": None,
        "log": [],
    }
)

RUNS: Mapping[str, Example] = {
    "list_runs": Example(api.Runs(runs=[_RUN], next_before="run-7"), {"limit": 1, "job": "training", "request_id": 3}),
    "read_run": Example(_RUN, {"run_id": 7}, errors=(NotFound,)),
    "request_run": Example(
        _WAITING,
        body=api.RunRequest(job="training"),
        errors=(*WITH_BODY, UsageError, UnknownSeries),
    ),
    "cancel_run": Example(_RUN, {"run_id": 7}, errors=(UsageError, NotFound)),
    "cancel_request": Example(
        _WAITING.model_copy(update={"state": "cancelled"}), {"request_id": 3}, errors=(UsageError, NotFound)
    ),
}
