"""Requests by their ids, around any app."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from candlecast.logs import JsonFormatter
from candlecast.requests import LoggedRequests


async def _fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a defect")


def _ask(**headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(LoggedRequests(_fails))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            return await http.get("/x", headers=headers)

    return asyncio.run(ask())


class Lines(logging.Handler):
    """Keeps lines as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Any:
    handler = Lines()
    logger = logging.getLogger("candlecast.requests")
    logger.addHandler(handler)
    yield handler.found
    logger.removeHandler(handler)


def test_what_nobody_handled_is_answered_and_logged_under_one_id(lines: list[dict[str, Any]]) -> None:
    answer = _ask()
    known_as = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert known_as in answer.text
    assert "a defect" not in answer.text
    (line,) = lines
    assert (line["request_id"], line["level"], line["status"], line["path"]) == (known_as, "ERROR", 500, "/x")
    assert "RuntimeError: a defect" in line["traceback"]


@pytest.mark.parametrize(("given", "kept"), [("desk-7.a_B", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_only_a_sane_id_is_kept(lines: list[dict[str, Any]], given: str, kept: bool) -> None:
    answer = _ask(**{"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
