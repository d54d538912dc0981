"""Who may change things, and read them where reading is protected: tokens, wrong ones, and the audit's lines."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any

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


class Callers:
    """What addresses sent: wrong tokens within the last minute, and which known ones. The oldest are forgotten.

    Ten wrong tokens close an address for a minute, but not to a token that it sent before: many callers may share an
    address, as behind an Ingress, and one of them who guesses must not shut the others out. What one worker process
    counts no other knows: with N of them an address has up to N times as many attempts. That helps nobody to guess 32
    random bytes, and shared counts would let strangers write into the database.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, most: int = MOST_ADDRESSES) -> None:
        self._now = now
        self._most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._guard = threading.Lock()

    def refuse(self, address: str) -> None:
        """Note a wrong token."""
        network = _network(address)
        with self._guard:
            self._failures.setdefault(network, deque(maxlen=MOST_FAILURES)).append(self._now())
            _keep_newest(self._failures, network, self._most)

    def let_pass(self, address: str, name: str) -> None:
        """Note a known token."""
        key = (_network(address), name)
        with self._guard:
            self._known[key] = None
            _keep_newest(self._known, key, self._most)

    def wait(self, address: str, name: str | None = None) -> float:
        """Return how many seconds this address must wait with this token; 0 where it need not."""
        network = _network(address)
        with self._guard:
            times = self._failures.get(network)
            if times is None or len(times) < MOST_FAILURES or (name and (network, name) in self._known):
                return 0.0
            return max(0.0, times[0] + FAILURE_SECONDS - self._now())

    def __len__(self) -> int:
        return max(len(self._failures), len(self._known))


def _keep_newest(entries: OrderedDict[Any, Any], key: Hashable, most: int) -> None:
    entries.move_to_end(key)
    while len(entries) > most:
        entries.popitem(last=False)


class TokenGate:
    """Tells who a token belongs to. `tokens` maps names to the SHA-256 of their tokens, in hex."""

    def __init__(self, tokens: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tuple(tokens.items())
        self._callers = Callers(now)

    def caller(self, authorization: str | None, address: str) -> str:
        """Return the name of the token in an `Authorization` header.

        Each known token is compared, in constant time, whichever matches. Raises Unauthorized without a known one, and
        TooManyAttempts for an address that sent too many wrong ones, unless with one that it sent before.
        """
        if not self._tokens:
            raise Unauthorized("no token is configured, so nothing can be changed; set CANDLECAST_API_TOKENS")
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("this needs a token; send it as `Authorization: Bearer ...`")
        digest = hashlib.sha256(token.encode()).hexdigest()
        names = [name for name, known in self._tokens if hmac.compare_digest(known, digest)]
        name = names[0] if names else None
        if wait := self._callers.wait(address, name):
            raise TooManyAttempts(f"too many wrong tokens came from here; try again in {wait:.0f} seconds", wait)
        if name is None:
            self._callers.refuse(address)
            raise Unauthorized("this token is not known")
        self._callers.let_pass(address, name)
        return name


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
