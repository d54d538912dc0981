"""The shortest way from a request for the newest forecast to its bytes: past everything but the parser.

An ASGI layer would still pay for a task, a cycle of messages and two writes per request, more than the answer itself
(docs/performance.md). What is not the plainest of requests goes its usual way; the bytes are the same either way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from candlecast.metrics import HTTP_SECONDS
from candlecast.requests import REQUEST_ID, request_id
from candlecast.settings import Settings
from service.protocol import BoundedProtocol
from service.ready import PATH, ReadyAnswers

_STATE = "shortcut"
_REQUEST_ID = REQUEST_ID.lower().encode()

_BEYOND = frozenset(
    [b"origin", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings", b"te", b"trailer"]
)
"""Headers of requests that are not plain: they have a body, or ask for what only the layers inside know about."""


class Shortcut:
    """The plainest requests of the route, answered as bytes. `public` is the API, whose state holds the answers.

    As an ASGI app it passes everything on, and tells the protocol about itself when the server starts. Where reading
    needs a token it answers nothing.
    """

    def __init__(self, app: ASGIApp, public: FastAPI, settings: Settings) -> None:
        self.app = app
        self._public = public.state
        paths = [] if settings.protect_reading else [PATH, settings.root_path + PATH]
        self._paths = frozenset(path.encode() for path in paths)
        self._seconds = {status: HTTP_SECONDS.labels("GET", PATH, str(status)) for status in (200, 304)}
        self._stamped: list[tuple[bytes, bytes]] = []
        self._stamp = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and "state" in scope:
            scope["state"][_STATE] = self
        await self.app(scope, receive, send)

    def answer(
        self, url: bytes, headers: Iterable[tuple[bytes, bytes]], stamped: list[tuple[bytes, bytes]]
    ) -> bytes | None:
        """Return the whole answer to a GET; None where it is for the layers inside.

        `headers` have lower names; `stamped` are the server's own headers, another list whenever they change.
        """
        begun = time.perf_counter()
        path, _, query = url.partition(b"?")
        if path not in self._paths:
            return None
        kept: ReadyAnswers | None = getattr(self._public, "ready", None)
        ready = kept.find_plain(query) if kept else None
        given = _given(headers)
        if ready is None or given is None:
            return None
        known_id, matches, encodings = given
        variant = ready.answer(matches, encodings)
        known_as = request_id(known_id.decode("latin-1")).encode()
        written = b"%b%b%b: %b\r\n\r\n%b" % (variant.head, self._stamp_of(stamped), _REQUEST_ID, known_as, variant.body)
        self._seconds[variant.status].observe(time.perf_counter() - begun)
        return written

    def _stamp_of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._stamped:
            self._stamped, self._stamp = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._stamp


class ShortcutProtocol(BoundedProtocol):
    """Ask the app's `Shortcut`, where it has one, before a request takes its usual way."""

    _answered = False  # the request that is being parsed

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._shortcut: Shortcut | None = self.app_state.get(_STATE)

    def begin_request(self) -> None:
        """Answer at once, or let the request begin."""
        written = self._at_once()
        self._answered = written is not None
        if written is None:
            super().begin_request()
        else:
            self.transport.write(written)

    def end_request(self) -> None:
        """Be ready for the next one."""
        if self._answered:
            self._answered = False
            self.on_response_complete()
        else:
            super().end_request()

    def _at_once(self) -> bytes | None:
        """Return the answer; None unless it is known, nothing before it is unanswered, and the caller stays."""
        parser, before = self.parser, self.cycle
        if (
            self._shortcut is None
            or (before is not None and not before.response_complete)
            or self.flow.write_paused
            or parser.get_method() != b"GET"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
        ):
            return None
        return self._shortcut.answer(self.url, self.headers, self.server_state.default_headers)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes | None, bytes] | None:
    """Return the values of X-Request-ID, If-None-Match and Accept-Encoding; None where the request is not plain."""
    known_id, matches, encodings = b"", None, b""
    for name, value in headers:
        if name == b"accept-encoding":
            encodings = value
        elif name == b"if-none-match":
            matches = value
        elif name == _REQUEST_ID:
            known_id = value
        elif name in _BEYOND:
            return None
    return known_id, matches, encodings
