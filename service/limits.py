"""Two ASGI layers: one around the API that measures every request, one inside that refuses too large bodies."""

from __future__ import annotations

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast.metrics import HTTP_SECONDS

_UNKNOWN = "unknown"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class MeasuredRequests:
    """Observe how long each request took, by route template: a path that is no route adds no label value."""

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

        try:
            await self.app(scope, receive, watch)
        finally:
            route: Any = scope.get("route")
            template = getattr(route, "path", None) or _UNKNOWN
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            HTTP_SECONDS.labels(method, template, str(status)).observe(time.perf_counter() - begun)


class BoundedBodies:
    """Stop reading a request's body at `max_request_bytes`, announced or not; the caller gets a 413."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = scope["app"].state.board.settings.max_request_bytes
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                # FastAPI lets only this class through while it reads a body.
                raise HTTPException(413, f"the body is larger than {limit} bytes; send fewer candles")
            return message

        await self.app(scope, bounded, send)
