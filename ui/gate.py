"""What stands around the screen: who may see it, what a browser may load for it, and the path that it is below."""

from __future__ import annotations

import base64
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlecast.settings import Settings

HEALTH = "/healthz"

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio writes scripts and styles into its page, evaluates what an event does in the browser, and draws uploads
        # from blobs.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""What a browser may load for the screen: nothing of another host."""

_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}


def guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Return the app with its policy, behind what the settings ask for."""
    app = WithPolicy(app)
    password = settings.ui_password.get_secret_value() if settings.ui_password else None
    if password is not None or settings.ui_user_header is not None:
        app = Gate(app, password, settings.ui_user_header)
    return UnderPrefix(app, settings.ui_root_path) if settings.ui_root_path else app


class Gate:
    """Let in who knows the password, and whom the proxy in front has named; everybody else gets 401.

    The password is that of HTTP Basic authentication, with any user name: browsers ask for it and send it with
    everything that a page fetches. `user_header` is only as good as the proxy that sets it and takes it off what
    clients send. Where both are given, both must hold. Health is for everybody.
    """

    def __init__(self, app: ASGIApp, password: str | None = None, user_header: str | None = None) -> None:
        self.app = app
        self._password = password
        self._user_header = user_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _bare(scope) == HEALTH or self._lets_in(Headers(scope=scope)):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._refusal()(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _lets_in(self, headers: Headers) -> bool:
        named = self._user_header is None or bool(headers.get(self._user_header, "").strip())
        return named and (self._password is None or self._knows(headers.get("authorization", ""), self._password))

    @staticmethod
    def _knows(given: str, password: str) -> bool:
        kind, _, encoded = given.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            _, _, said = base64.b64decode(encoded, validate=True).partition(b":")
        except ValueError:
            return False
        return secrets.compare_digest(said, password.encode())

    def _refusal(self) -> PlainTextResponse:
        if self._password is None:
            return PlainTextResponse("the proxy in front of this screen has named nobody\n", 401)
        challenge = {"WWW-Authenticate": 'Basic realm="candlecast", charset="UTF-8"'}
        return PlainTextResponse("this screen asks for a password\n", 401, challenge)


class WithPolicy:
    """Let every answer say what a browser may do with it, where it does not say so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, told)


class UnderPrefix:
    """Serve below a path that a proxy puts the screen under, whether the proxy has taken it off or not."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"]
            under = path == self.prefix or path.startswith(f"{self.prefix}/")
            whole = path if under else self.prefix + path
            scope = {**scope, "root_path": self.prefix, "path": whole, "raw_path": whole.encode()}
        await self.app(scope, receive, send)


def _bare(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
