"""The floor: uvicorn with an ASGI callable that gives the same bytes to everybody, as many as our answer has."""

import os
from typing import Any

BODY = b"x" * int(os.environ["BENCH_BYTES"])
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
