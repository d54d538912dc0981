"""What stands around all routes, BentoML's own too: request ids, the proxy's prefix, other origins, tokens, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast import requests
from candlecast.errors import InternalError
from candlecast.settings import Settings
from service.asking import asking, begin_asking
from service.limits import ANSWER_SECONDS, BoundedBodies, LimitedTime
from service.native import NativeAnswers
from service.problems import problem_response
from service.tokens import ProtectedReading, TokenGate


class Front:
    """The layers around BentoML's app, put together at the first request: only then the settings are known."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self.app = app
        self.api = api
        self._layers: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if self._layers is None:
            self._layers = within_layers(self.app, self.api.state.board.settings, self.api.state.gate)
        await self._layers(scope, receive, send)


def within_layers(app: ASGIApp, settings: Settings, gate: TokenGate) -> ASGIApp:
    """Return `app` inside the layers that the settings ask for; the last one here is the first that a request meets."""
    app = LimitedTime(HeadLikeGet(NativeAnswers(app)), ANSWER_SECONDS)
    app = BoundedBodies(app, settings.max_request_bytes)
    if settings.protect_reading:
        app = ProtectedReading(app, gate)
    if settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", requests.REQUEST_ID],
            expose_headers=[requests.REQUEST_ID, "Content-Disposition", "Location", "Retry-After"],
        )
    if settings.root_path:
        app = UnderPrefix(app, settings.root_path)
    return LoggedRequests(app, settings.root_path)


class HeadLikeGet:
    """Answer HEAD as GET, without the body: nothing of it is made after the head is out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        await self.app({**scope, "method": "GET"}, receive, head)


class UnderPrefix:
    """Take the prefix off the path where the proxy in front has left it on."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == self.prefix or path.startswith(f"{self.prefix}/"):
            scope["path"] = path[len(self.prefix) :] or "/"
            scope["raw_path"] = scope["path"].encode()
        await self.app(scope, receive, send)


class LoggedRequests(requests.LoggedRequests):
    """Requests whose failures are problems. `prefix` is that of the service's own links."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        super().__init__(app)
        self.prefix = prefix

    def begin(self, scope: Scope) -> str:
        """Note a request for all layers; return its id."""
        return begin_asking(scope, self.prefix).id

    def about(self, scope: Scope) -> Mapping[str, Any]:
        """Return who asked, and the problem's code."""
        known = asking(scope)
        return {"code": known.code, "address": known.address}

    def apology(self, scope: Scope, known_as: str) -> ASGIApp:
        """Return the problem of a request on which the service failed."""
        return problem_response(scope, InternalError("the service failed on this request; its log says why"))
