"""uvicorn's HTTP protocol with an end to what it reads of a request before any of our code sees it."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from candlecast.errors import CandlecastError, HeadTooLarge, NoHttp, TooSlow
from service.problems import ERROR_PAGE, MEDIA_TYPE, title

MOST_HEADERS = 100
MOST_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0

_LINGER_SECONDS = 2.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuse a request line and headers of more than `MOST_HEAD_BYTES`, or more than `MOST_HEADERS` of them.

    The parser itself would collect them without end, and wait for them without end: a head that is not complete after
    `HEAD_SECONDS` is refused too. What is no HTTP gets a problem like everything else.
    """

    _in_head = False
    _deadline: asyncio.TimerHandle | None = None
    _unfinished = 0  # bytes received since the head began
    _head = 0  # bytes of it that are parsed
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count, and to wait where this is not the first head."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        if self._deadline is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """Count a piece of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or one after a body in chunks."""
        self._count(len(name) + len(value))
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Let the request begin, unless it is refused."""
        self._stop_waiting()
        self._in_head, self._unfinished = False, 0
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the body's end."""
        if not self._refused:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrives, as long as it may be a request that is read."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_head and not self._refused:
            # Of a header that does not end the parser tells nothing.
            self._unfinished += len(data)
            if self._unfinished > MOST_HEAD_BYTES:
                self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless the request is refused already."""
        self._refuse(NoHttp(f"{msg.rstrip('.')}; send a request of HTTP/1.1"))

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > MOST_HEAD_BYTES:
            self._refuse_head()

    def _await_head(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._refuse(TooSlow(f"the headers did not arrive within {HEAD_SECONDS:.0f} seconds; send them again"))

    def _refuse_head(self) -> None:
        self._refuse(
            HeadTooLarge(f"at most {MOST_HEADERS} headers and {MOST_HEAD_BYTES} bytes before the body are read")
        )

    def _refuse(self, error: CandlecastError) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_waiting()
        body = json.dumps(
            {
                "type": f"{ERROR_PAGE}#{error.code}",
                "title": title(type(error)),
                "status": error.http_status,
                "detail": error.message,
                "code": error.code,
            }
        )
        lines = [
            f"HTTP/1.1 {error.http_status} {HTTPStatus(error.http_status).phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
            "",
            body,
        ]
        self.transport.write("\r\n".join(lines).encode())
        # Closing at once, with data unread, would take the answer back on its way.
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.transport.close)
