"""The screen as a process: what it writes is one JSON object per line, and a request is found by its id."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.programs import free_port, running
from tests.waiting import eventually


def test_the_screen_logs_like_the_jobs_and_names_the_request_that_failed(tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    environment = ours | {"CANDLECAST_UI_PORT": str(port), "CANDLECAST_API_BASE_URL": "http://127.0.0.1:9"}
    with (
        running([sys.executable, "-m", "ui"], environment, log),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        eventually(lambda: _answers(http), 120)
        answer = http.get("/files/drift/3", headers={"x-request-id": "desk-7"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (502, "desk-7")
        (line,) = eventually(lambda: [one for one in _lines(log) if one.get("request_id") == "desk-7"], 10)
    known = {name: line[name] for name in ("level", "method", "path", "status", "address")}
    assert known == {
        "level": "WARNING",
        "method": "GET",
        "path": "/files/drift/3",
        "status": 502,
        "address": "127.0.0.1",
    }
    assert f"http://127.0.0.1:{port}" in _lines(log)[0]["message"]


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").is_success
    except httpx.TransportError:
        return False


def _lines(log: Path) -> list[dict[str, Any]]:
    """Return the log; every line of it must be JSON."""
    return [json.loads(line) for line in log.read_text().splitlines()]
