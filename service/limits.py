"""ASGI layers that measure every request, and that end one which is too large or takes too long."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast.errors import CandlecastError, TemporaryError, TooLarge, TooSlow
from candlecast.metrics import HTTP_IN_PROGRESS, HTTP_SECONDS
from service.problems import Refused, problem_response

BODY_SECONDS = 20.0
MOST_BODIES = 8
ANSWER_SECONDS = 30.0

_MOST_DIGITS = 20
_UNKNOWN = "unknown"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class MeasuredRequests:
    """Observe how many requests there are, and how long each took by route template: no other path is a label value."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        HTTP_IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, watch)
        finally:
            HTTP_IN_PROGRESS.dec()
            route: Any = scope.get("route")
            template = getattr(route, "path", None) or _UNKNOWN
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            HTTP_SECONDS.labels(method, template, str(status)).observe(time.perf_counter() - begun)


class LimitedTime:
    """Give a request up whose answer has not begun after `seconds`; once it speaks, it may take its time.

    A thread that works for it cannot be stopped; what it says then is not heard.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, given_up = asyncio.Event(), False

        async def unless_given_up(message: Message) -> None:
            begun.set()
            if not given_up:
                await send(message)

        answering = asyncio.ensure_future(self.app(scope, receive, unless_given_up))
        beginning = asyncio.ensure_future(begun.wait())
        await asyncio.wait({answering, beginning}, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
        beginning.cancel()
        if begun.is_set() or answering.done():
            await answering
            return
        given_up = True
        answering.cancel()
        answering.add_done_callback(_forget)
        error = TemporaryError(f"this took longer than {self.seconds:.0f} seconds and was given up; try again later")
        await problem_response(scope, error)(scope, receive, send)


class BoundedBodies:
    """Stop reading a request's body after `limit` bytes, announced or not, and after `BODY_SECONDS`.

    The caller gets a 413, or a 408; and a 503 where the bodies of all requests that are being answered hold more than
    `MOST_BODIES` times the limit.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        error = TooLarge(f"the body is larger than {self.limit} bytes; send fewer candles", most=self.limit)
        if _announced(scope) > self.limit:
            await problem_response(scope, error)(scope, receive, send)
            return
        read, whole, answered, refused = 0, False, False, False
        until = time.monotonic() + BODY_SECONDS

        async def refuse(error: CandlecastError) -> NoReturn:
            nonlocal refused
            refused = True
            await problem_response(scope, error)(scope, receive, send)
            raise Refused(error)

        def waits() -> bool:
            return not (whole or answered)

        async def bounded() -> Message:
            nonlocal read, whole
            if not waits():
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - time.monotonic())
            except TimeoutError:
                if not waits():
                    return await receive()
                await refuse(TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} seconds; send it again"))
            arrived = len(message.get("body", b""))
            read += arrived
            self._held += arrived
            whole = not message.get("more_body", False)
            if read > self.limit and not answered:
                await refuse(error)
            if self._held > MOST_BODIES * self.limit and not answered:
                await refuse(TemporaryError("the bodies of other requests are still being read; try again later"))
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal answered
            answered = True
            if not refused:
                await send(message)

        try:
            with suppress(Refused):
                await self.app(scope, bounded, unless_refused)
        finally:
            self._held -= read


def _forget(answering: asyncio.Future[None]) -> None:
    """Look at how it ended, so that asyncio does not complain that nobody did."""
    if not answering.cancelled():
        answering.exception()


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < _MOST_DIGITS else 0
