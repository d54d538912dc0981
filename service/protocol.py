"""uvicorn's HTTP protocol with an end to what it reads of requests before any of our code sees them."""

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

_PIECE = 8 * 1024
"""Bytes that are parsed at a stretch. What a caller sends beyond that waits until its earlier requests are answered: as
requests it would take a hundred times the memory."""

_LINGER_SECONDS = 2.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuse a request line and headers of more than `MOST_HEAD_BYTES`, or more than `MOST_HEADERS` of them.

    The parser itself would collect them without end, and wait for them without end: a head that is not complete within
    two times `HEAD_SECONDS` is refused too, at the earliest after one. What is no HTTP gets a problem like everything
    else.
    """

    _held = b""  # received, and not parsed yet
    _parsing = False
    _awaited = True  # a head, or what remains of one
    _unfinished = 0  # bytes received since the head began
    _received = 0  # bytes of the piece that is being parsed
    _ended = False  # a request, in that piece: how much of it belongs to the next is not known
    _refused = False
    _watch: asyncio.TimerHandle | None = None
    _seen = False  # by the watch, while the same head was awaited

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._seen = True
        self._watch_heads()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_watching()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count, and to wait."""
        super().on_message_begin()
        if not self._awaited:
            self._awaited, self._seen, self._unfinished = True, False, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or one after a body in chunks."""
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Let the request begin, unless there is too much of it."""
        self._awaited = False
        if self._unfinished + self._received > MOST_HEAD_BYTES and self._head() > MOST_HEAD_BYTES:
            self._refuse_head()
        if not self._refused:
            self.begin_request()

    def begin_request(self) -> None:
        """Let the request begin, now that its head is complete."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the body's end."""
        self._ended = True
        if not self._refused:
            self.end_request()

    def end_request(self) -> None:
        """Let the request end, now that its body is complete."""
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrives, as long as it may be a request that is read."""
        if self._held:
            self._held += data
            self.flow.pause_reading()  # whoever awaits a body lets the reading go on
        elif len(data) <= _PIECE:
            self._parse(data)
        else:
            self._held = data
            self._parse_held()

    def on_response_complete(self) -> None:
        """Go on with what was held back."""
        super().on_response_complete()
        if self._held and not self._parsing and not self.transport.is_closing():
            self._parse_held()

    def _parse_held(self) -> None:
        """Parse until there is a request that waits for an answer to another; read nothing more before that is over."""
        self._parsing = True
        while self._held and not self._refused and not self.pipeline:
            piece, self._held = self._held[:_PIECE], self._held[_PIECE:]
            self._parse(piece)
        self._parsing = False
        if self._refused:
            self._held = b""
        elif self._held:
            self.flow.pause_reading()

    def _parse(self, data: bytes) -> None:
        if self._refused:
            return
        self._received, self._ended = len(data), False
        super().data_received(data)
        if self._awaited and not self._ended and not self._refused:
            self._unfinished += len(data)
            if self._unfinished > MOST_HEAD_BYTES:
                self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless the request is refused already."""
        self._refuse(NoHttp(f"{msg.rstrip('.')}; send a request of HTTP/1.1"))

    def _head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _watch_heads(self) -> None:
        """Look now and then, not for each request: a timer of its own would cost a part of a ready answer."""
        self._watch = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._look)

    def _look(self) -> None:
        if self._awaited and self._seen:
            self._refuse(TooSlow(f"the headers did not arrive within {HEAD_SECONDS:.0f} seconds; send them again"))
            return
        # While something is held back, it is not the caller who is late.
        self._seen = self._awaited and not self._held
        self._watch_heads()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _refuse_head(self) -> None:
        self._refuse(
            HeadTooLarge(f"at most {MOST_HEADERS} headers and {MOST_HEAD_BYTES} bytes before the body are read")
        )

    def _refuse(self, error: CandlecastError) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_watching()
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
