"""One request as every layer knows it: its id, who asks, and how it ended."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

REQUEST_ID = "X-Request-ID"

_KEY = "candlecast.asking"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


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


def request_id(given: str) -> str:
    """Return the caller's own id where it is a sane one, else a new one."""
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def asking(scope: Scope) -> Asking:
    """Return what is known of the request."""
    known: Asking = scope[_KEY]
    return known
