"""Who may change things, and read them where reading is protected: tokens, wrong ones, and the audit's lines."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from candlecast.errors import CandlecastError, TooManyAttempts, Unauthorized
from service.asking import asking
from service.problems import problem_response

MOST_FAILURES = 10
FAILURE_SECONDS = 60.0
MOST_ADDRESSES = 10_000

_audit = logging.getLogger("candlecast.audit")
_OPEN = frozenset({"/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json"})
_OPEN_BELOW = "/docs"


class Failures:
    """Wrong tokens by address within the last minute; forgets the oldest address rather than remember too many.

    They tell a guesser to stop, and shut out nobody else: many callers may share an address, as behind an Ingress, so
    that a known token always passes. What keeps a token from being guessed is that it is random: 16 bytes of it are out
    of reach at any rate. What one worker process counts no other knows; shared counts would let strangers write into
    the database.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, most_addresses: int = MOST_ADDRESSES) -> None:
        self._now = now
        self._most_addresses = most_addresses
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._guard = threading.Lock()

    def add(self, address: str) -> None:
        """Note a failure."""
        network = _network(address)
        with self._guard:
            self._times.setdefault(network, deque(maxlen=MOST_FAILURES)).append(self._now())
            self._times.move_to_end(network)
            while len(self._times) > self._most_addresses:
                self._times.popitem(last=False)

    def wait(self, address: str) -> float:
        """Return how many seconds a wrong token of this address is told to wait; 0 where it may try."""
        with self._guard:
            times = self._times.get(_network(address))
            if times is None or len(times) < MOST_FAILURES:
                return 0.0
            return max(0.0, times[0] + FAILURE_SECONDS - self._now())

    def __len__(self) -> int:
        return len(self._times)


class TokenGate:
    """Tells who a token belongs to. `tokens` maps names to the SHA-256 of their tokens, in hex."""

    def __init__(self, tokens: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tuple(tokens.items())
        self._failures = Failures(now)

    def caller(self, authorization: str | None, address: str) -> str:
        """Return the name of the token in an `Authorization` header.

        Each known token is compared, in constant time, whichever matches. Raises Unauthorized without a known one, and
        TooManyAttempts instead where the address has sent too many wrong ones; those are counted no more.
        """
        if not self._tokens:
            raise Unauthorized("no token is configured, so nothing can be changed; set CANDLECAST_API_TOKENS")
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("this needs a token; send it as `Authorization: Bearer ...`")
        digest = hashlib.sha256(token.encode()).hexdigest()
        names = [name for name, known in self._tokens if hmac.compare_digest(known, digest)]
        if names:
            return names[0]
        if wait := self._failures.wait(address):
            raise TooManyAttempts(f"too many wrong tokens came from here; try again in {wait:.0f} seconds", wait)
        self._failures.add(address)
        raise Unauthorized("this token is not known")


class ProtectedReading:
    """Let nobody without a known token read; health, metrics and documentation stay open."""

    def __init__(self, app: ASGIApp, gate: TokenGate) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_open(scope["path"]):
            try:
                self.gate.caller(Headers(scope=scope).get("authorization"), asking(scope).address)
            except CandlecastError as error:
                await problem_response(scope, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


_bearer = HTTPBearer(scheme_name="token", description="A token of `CANDLECAST_API_TOKENS`", auto_error=False)


def _caller(request: Request, _: Annotated[object, Depends(_bearer)]) -> str:
    gate: TokenGate = request.app.state.gate
    return gate.caller(request.headers.get("authorization"), asking(request.scope).address)


Caller = Annotated[str, Depends(_caller)]
"""The name of the token that a change was asked for with; without one there is no change."""


def audit(request: Request, caller: str, change: str, /, **fields: object) -> None:
    """Log who changed what, one line each, whatever the log level is."""
    _audit.setLevel(logging.INFO)
    known = {"audit": change, "caller": caller, "address": asking(request.scope).address, **fields}
    _audit.info("%s: %s", caller, change, extra={"fields": known})


def _is_open(path: str) -> bool:
    return path in _OPEN or path == _OPEN_BELOW or path.startswith(f"{_OPEN_BELOW}/")


def _network(address: str) -> str:
    """Return what one caller can vary at will as one: of an IPv6 address its first half."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
