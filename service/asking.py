"""One request as every layer knows it: its id, who asks, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from candlecast.requests import REQUEST_ID, request_id

_KEY = "candlecast.asking"


@dataclass(slots=True)
class Asking:
    """A request: its id, the address it came from, the prefix of the service's own links, and its error's code."""

    id: str
    address: str
    prefix: str
    code: str | None = None


def begin_asking(scope: Scope, prefix: str) -> Asking:
    """Note a request that arrives."""
    client = scope.get("client")
    known = Asking(
        id=request_id(Headers(scope=scope).get(REQUEST_ID, "")),
        address=client[0] if client else "unknown",
        prefix=prefix,
    )
    scope[_KEY] = known
    return known


def asking(scope: Scope) -> Asking:
    """Return what is known of the request."""
    known: Asking = scope[_KEY]
    return known
