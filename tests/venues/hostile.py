"""Exchanges to test against: real HTTP servers that tell the truth about candles, except where a script says otherwise.

The servers themselves are in `tests.venues.exchange`, one per exchange; each speaks its protocol, serves a truth of
`Candles`, and serves the candle that is still open with its values so far, as the real ones do.

    truth = complete(make_candles(5000))
    with BinanceServer({series: truth}, clock) as server:
        server.play([Fault.SLOW_DOWN, None, Fault.SHUFFLED])       # the first three requests; later ones get the truth
        ... CANDLECAST_BINANCE_URL=server.url, CANDLECAST_VENUE_BACKOFF=0, CANDLECAST_VENUE_TIMEOUT=0.2 ...

One fault of a script is spent on each request, in the order in which requests arrive; one that has no meaning for a
request (shuffled rows, when the time was asked for) leaves that answer true. `random_script` draws a script, and the
sets below say what is to be expected: what an adapter overcomes by asking again (as long as fewer than
CANDLECAST_VENUE_ATTEMPTS come in a row), what ends the run for this exchange, and what looks true, so that only a
later look finds it. What no single answer can do is set on the server: `clock` may be off from this machine's by
anything, `truth` may be restated between two runs (`restated`), and an archive's files replaced.
"""

from __future__ import annotations

import json
import random
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from candlecast.candles import Candles, Interval, Series, Symbol, to_ms
from candlecast.clock import VenueClock

Rows = list[list[Any]]
"""Candles as an exchange writes them, one list each, the open time first."""


class Fault(StrEnum):
    """What happens to one request, instead of the true answer."""

    SLOW_DOWN = "429 without Retry-After"
    SLOW_DOWN_FOR = "429 with Retry-After"
    BAN = "418 with Retry-After"
    RESTRICTED = "451"
    FORBIDDEN = "403 with a page of HTML"
    SERVER_ERROR = "500"
    HTML = "200 with a page of HTML"
    REDIRECT = "302 to another host"
    DROPPED = "connection closed without an answer"
    RESET = "connection reset without an answer"
    HALF_CLOSED = "half of the answer, then nothing more comes while the other direction stays open"
    HANGING = "no answer until the server closes"
    TRUNCATED = "200 with a body that ends in the middle"
    HUGE = "200 with a body that does not end"
    SHUFFLED = "rows in any order"
    DUPLICATED = "every row twice"
    OVERLAPPING = "rows from before the start, too"
    REPEATED = "the rows of the answer before"
    MICROSECONDS = "times in microseconds"
    SWAPPED_TYPES = "numbers for strings, and strings for numbers"
    SHORT = "only the first half of the rows"
    EMPTY = "no rows"
    HOLED = "rows missing in the middle"
    PRELIMINARY = "the newest closed candle with values that are not final"
    CONTRADICTORY = "a row whose high is below its low"
    DISAGREEING = "a row twice, with different values"
    MISSING = "404, for a file of an archive"
    WRONG_CHECKSUM = "a checksum that is another file's"
    DAMAGED = "a file of an archive with one byte changed"


OVERCOME = frozenset(
    {
        Fault.SLOW_DOWN,
        Fault.SLOW_DOWN_FOR,
        Fault.SERVER_ERROR,
        Fault.HTML,
        Fault.REDIRECT,
        Fault.DROPPED,
        Fault.RESET,
        Fault.HALF_CLOSED,
        Fault.HANGING,
        Fault.TRUNCATED,
        Fault.HUGE,
        Fault.SHUFFLED,
        Fault.DUPLICATED,
        Fault.OVERLAPPING,
        Fault.MICROSECONDS,
        Fault.SWAPPED_TYPES,
        Fault.SHORT,
    }
)
"""Faults that an adapter gets the truth in spite of."""

STOPPING = frozenset({Fault.BAN, Fault.RESTRICTED, Fault.FORBIDDEN})
"""Faults after which the exchange is not to be asked again: until the ban ends, or from this place at all."""

DECEIVING = frozenset({Fault.EMPTY, Fault.HOLED, Fault.PRELIMINARY})
"""Answers that could be true. A hole is found by a later look, a candle that was not final by reading it again.

Of Coinbase, which answers for a window, SHORT and REPEATED answers could be true as well.
"""

REFUSED = frozenset({Fault.REPEATED, Fault.CONTRADICTORY, Fault.DISAGREEING})
"""Answers that are seen to be wrong: their rows are refused with a reason, or the fetch fails and may be repeated."""

ARCHIVE_ONLY = frozenset({Fault.MISSING, Fault.WRONG_CHECKSUM, Fault.DAMAGED})
"""Faults of an archive's files; an exchange's answers stay true."""


def random_script(
    dice: random.Random, length: int, among: Iterable[Fault] = tuple(Fault), *, share: float = 0.5
) -> list[Fault | None]:
    """Return a script for `length` requests, of which about `share` go wrong."""
    kinds = sorted(among)
    return [dice.choice(kinds) if dice.random() < share else None for _ in range(length)]


def complete(candles: Candles) -> Candles:
    """Return the candles with 0 where an optional column is missing: what an exchange that has all columns serves."""
    return Candles.of(
        candles.interval,
        **{
            name: column if name == "open_time" else np.nan_to_num(column) for name, column in candles.columns().items()
        },
    )


def restated(candles: Candles, row: int) -> Candles:
    """Return the candles with one of them restated: its close is its open, and its volume has grown by a tenth."""
    columns = {name: column.copy() for name, column in candles.columns().items()}
    columns["close"][row] = columns["open"][row]
    columns["volume"][row] *= 1.1
    return Candles.of(candles.interval, **columns)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back; `how` other than `answer` does something to the connection."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["answer", "cut", "half-close", "drop", "reset", "endless"] = "answer"


class Exchange(ABC):
    """An HTTP server on a free port of this machine. `truth` and `clock` may be changed while it runs."""

    per_second: ClassVar[int] = 1
    """The unit of time in rows: 1 for seconds, 1000 for milliseconds."""

    places: ClassVar[Mapping[str, int]]
    """Where open, high, low, close and volume are in a row."""

    ban_seconds = 120
    retry_after = "0"

    def __init__(self, truth: Mapping[Series, Candles], clock: VenueClock | Callable[[], datetime]) -> None:
        self.truth = {(series.symbol, series.interval): candles for series, candles in truth.items()}
        self.clock = clock
        self.requests: list[Request] = []
        self._script: deque[Fault | Reply | None] = deque()
        self._taking = Lock()
        self._rows_before: dict[object, Rows] = {}
        self._closing = Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What the setting of this exchange's address is to hold."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def script(self) -> tuple[Fault | Reply | None, ...]:
        """What happens to the requests that are still to come."""
        return tuple(self._script)

    @property
    def unspent(self) -> int:
        """How many requests of the script are still to come."""
        return len(self._script)

    def now(self) -> datetime:
        """Return the exchange's time."""
        return self.clock.now() if isinstance(self.clock, VenueClock) else self.clock()

    def forget(self) -> None:
        """Forget what was asked, what was answered and what of the script is left."""
        with self._taking:
            self.requests.clear()
            self._script.clear()
            self._rows_before.clear()

    def play(self, script: Iterable[Fault | Reply | None]) -> None:
        """Let the next requests go like this, one entry each; None is the true answer."""
        with self._taking:
            self._script.extend(script)

    def fail_next(
        self, status: int, body: str = "", headers: Mapping[str, str] | None = None, *, times: int = 1
    ) -> None:
        """Answer the next requests with this instead."""
        self.play([Reply(status, body.encode(), headers or {})] * times)

    def truncate_next(self, *, times: int = 1) -> None:
        """Break the connection in the middle of the next answers."""
        self.play([Fault.HALF_CLOSED] * times)

    def drop_next(self, *, times: int = 1) -> None:
        """Break the connection before the next answers."""
        self.play([Fault.DROPPED] * times)

    def hang_next(self, *, times: int = 1) -> None:
        """Leave the next requests without an answer until the server closes."""
        self.play([Fault.HANGING] * times)

    def take(self, request: Request) -> Reply:
        """Return what to send: the true answer, or what the script says."""
        with self._taking:
            self.requests.append(request)
            next_one = self._script.popleft() if self._script else None
        if isinstance(next_one, Reply):
            return next_one
        if next_one is Fault.HANGING:
            self._closing.wait()
        return self._without_answer(next_one) or self._with_answer(request, next_one)

    @abstractmethod
    def answer(self, request: Request, fault: Fault | None) -> Reply:
        """Return the answer to a request, its rows or its file altered by the fault where that applies."""

    def rows(self, asked: tuple[Symbol, Interval], chosen: Callable[[int], Rows], fault: Fault | None) -> Rows:
        """Return the rows that `chosen` gives when the start is shifted by milliseconds, altered by the fault."""
        step = asked[1].milliseconds
        rows = chosen(-3 * step if fault is Fault.OVERLAPPING else 0)
        now = to_ms(self.now())
        closed = [row for row in rows if row[0] * 1000 // self.per_second + step <= now]
        before = self._rows_before.get(asked, [])
        self._rows_before[asked] = closed
        if fault is Fault.REPEATED:
            return before
        fresh = [row for row in closed if row[0] * 1000 // self.per_second + 2 * step > now]
        if fault is Fault.PRELIMINARY and fresh:
            return self._preliminary(rows, fresh[0])
        return _altered(rows, fault, self.places, 1_000_000 // self.per_second)

    def _preliminary(self, rows: Rows, newest: list[Any]) -> Rows:
        changed = _with(newest, self.places["close"], float(newest[self.places["open"]]))
        return [changed if row is newest else row for row in rows]

    def _without_answer(self, fault: Fault | None) -> Reply | None:
        page = b"<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR</TITLE></HEAD><BODY><H1>ERROR</H1></BODY></HTML>"
        replies = {
            Fault.SLOW_DOWN: Reply(429, b'{"msg":"Too many requests"}'),
            Fault.SLOW_DOWN_FOR: Reply(429, b'{"msg":"Too many requests"}', {"Retry-After": self.retry_after}),
            Fault.BAN: Reply(418, b'{"msg":"banned"}', {"Retry-After": str(self.ban_seconds)}),
            Fault.RESTRICTED: Reply(451, b'{"msg":"Service unavailable from a restricted location"}'),
            Fault.FORBIDDEN: Reply(403, page),
            Fault.SERVER_ERROR: Reply(500, page),
            Fault.HTML: Reply(200, page),
            Fault.REDIRECT: Reply(302, b"", {"Location": "http://127.0.0.2:9/"}),
            Fault.DROPPED: Reply(how="drop"),
            Fault.HANGING: Reply(how="drop"),
            Fault.RESET: Reply(how="reset"),
            Fault.HUGE: Reply(200, b"[" * 65536, how="endless"),
        }
        return replies.get(fault) if fault else None

    def _with_answer(self, request: Request, fault: Fault | None) -> Reply:
        reply = self.answer(request, fault)
        if fault is Fault.TRUNCATED:
            return replace(reply, body=reply.body[: max(1, len(reply.body) // 2)])
        return replace(reply, how="half-close") if fault is Fault.HALF_CLOSED else reply


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer of JSON."""
    return Reply(status, json.dumps(content).encode(), headers or {})


@dataclass(frozen=True, slots=True)
class SoFar:
    """One candle as an exchange sees it at a moment; of one that is still open, only what happened so far."""

    opened: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float

    @classmethod
    def of(cls, candles: Candles, row: int, now: int) -> SoFar:
        """Return the candle in `row` at `now`, in epoch milliseconds like `opened`."""
        opened = int(candles.open_time[row].astype(np.int64))
        part = min(1.0, (now - opened) / candles.interval.milliseconds)
        price, high, low, close, volume, quote_volume, trades, taker = (
            0.0 if np.isnan(column[row]) else float(column[row])
            for name, column in candles.columns().items()
            if name != "open_time"
        )
        if part < 1:
            close = price + part * (close - price)
            high, low = max(price, close), min(price, close)
        return cls(
            opened, price, high, low, close, part * volume, part * quote_volume, int(part * trades), part * taker
        )


def chosen_rows(candles: Candles | None, first: int, last: int, now: int, part: slice = slice(None)) -> list[SoFar]:
    """Return `part` of the candles with first <= open time <= last that have begun at `now` (epoch milliseconds)."""
    if candles is None:
        return []
    times = candles.open_time.astype(np.int64)
    found = np.flatnonzero((times >= first) & (times <= last) & (times <= now))
    return [SoFar.of(candles, int(row), now) for row in found[part]]


def symbols(truth: Mapping[tuple[Symbol, Interval], Candles]) -> set[Symbol]:
    """Return what the exchange trades."""
    return {symbol for symbol, _ in truth}


def _altered(rows: Rows, fault: Fault | None, places: Mapping[str, int], microseconds: int) -> Rows:
    middle = len(rows) // 2
    alterations: dict[Fault, Callable[[], Rows]] = {
        Fault.SHUFFLED: lambda: random.Random(len(rows)).sample(rows, len(rows)),  # noqa: S311  # a test's dice
        Fault.DUPLICATED: lambda: [row for row in rows for _ in range(2)],
        Fault.MICROSECONDS: lambda: [[row[0] * microseconds, *row[1:]] for row in rows],
        Fault.SWAPPED_TYPES: lambda: [[row[0], *map(_other_type, row[1:])] for row in rows],
        Fault.SHORT: lambda: sorted(rows)[: max(1, middle)],
        Fault.EMPTY: list,
        Fault.HOLED: lambda: rows[:middle] + rows[middle + 2 :],
        Fault.CONTRADICTORY: lambda: _replaced(rows, middle, places["high"], 0.5),
        Fault.DISAGREEING: lambda: rows + _replaced(rows, middle, places["volume"], 2.0)[middle : middle + 1],
    }
    return alterations[fault]() if fault in alterations else rows


def _replaced(rows: Rows, at: int, place: int, factor: float) -> Rows:
    return [_with(row, place, factor * float(row[place] or 1)) if i == at else row for i, row in enumerate(rows)]


def _with(row: Sequence[Any], place: int, value: float) -> list[Any]:
    return [*row[:place], str(value) if isinstance(row[place], str) else value, *row[place + 1 :]]


def _other_type(value: Any) -> Any:
    return float(value) if isinstance(value, str) else str(value)


def _handler(server: Exchange) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two packets: each answer would wait for an acknowledgement

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            reply = server.take(Request(url.path, dict(parse_qsl(url.query)), dict(self.headers)))
            with suppress(OSError):  # the client may have gone first
                if reply.how in ("drop", "reset"):
                    self._hang_up(reset=reply.how == "reset")
                else:
                    self._send(reply)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(2**40 if reply.how == "endless" else len(reply.body)))
            self.end_headers()
            if reply.how == "half-close":
                self.wfile.write(reply.body[: len(reply.body) // 2])
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_WR)
                return
            self.wfile.write(reply.body)
            while reply.how == "endless":
                self.wfile.write(reply.body)

        def _hang_up(self, *, reset: bool) -> None:
            self.close_connection = True
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()  # or the socket stays open behind it
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
