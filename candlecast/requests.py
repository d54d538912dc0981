"""Requests that a process answers: the id that each goes by, and the log's line about one that failed."""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast.logs import log_context

REQUEST_ID = "X-Request-ID"

log = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOGGED_PATH = 200

_PROCESS = uuid.uuid4().hex[:20]
_numbers = itertools.count(1)


def request_id(given: str) -> str:
    """Return the caller's own id where it is a sane one, else a new one."""
    if given and _SANE_ID.fullmatch(given):
        return given
    return f"{_PROCESS}{next(_numbers):012x}"  # a random one each time would cost more than an answer that is ready


class LoggedRequests:
    """Give each request an id, or keep the caller's own; answer with it, and log one line for each that failed.

    An exception that nobody has handled ends here, as a line with its traceback. An app that knows more of its
    requests overrides `begin`, `about` and `apology`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def begin(self, scope: Scope) -> str:
        """Note a request that arrives; return its id."""
        return request_id(Headers(scope=scope).get(REQUEST_ID, ""))

    def about(self, scope: Scope) -> Mapping[str, Any]:
        """Return further fields of the log's line about a request that failed."""
        client = scope.get("client")
        return {"address": client[0] if client else "unknown"}

    def apology(self, scope: Scope, known_as: str) -> ASGIApp:
        """Return the answer to a request on which the app failed."""
        return PlainTextResponse(f"this failed; the log says why beside the request id {known_as}\n", 500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known_as, begun, status = self.begin(scope), time.perf_counter(), 0

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = known_as
            await send(message)

        failure: Exception | None = None
        with log_context(request_id=known_as):
            try:
                await self.app(scope, receive, identified)
            except Exception as error:
                failure = error
                if not status:
                    await self.apology(scope, known_as)(scope, receive, identified)
            if failure or status >= 400:
                self._log(scope, status, time.perf_counter() - begun, failure)

    def _log(self, scope: Scope, status: int, seconds: float, failure: Exception | None) -> None:
        path = scope["path"][:_LOGGED_PATH]
        known = {"method": scope["method"], "path": path, "status": status, "seconds": round(seconds, 4)}
        level = logging.ERROR if failure else logging.WARNING if status >= 500 else logging.INFO
        fields = {**known, **self.about(scope)}
        log.log(level, "%s %s: %s", scope["method"], path, status, exc_info=failure, extra={"fields": fields})
