"""An exchange to test against: a local HTTP server that speaks Binance's protocol.

It serves the candle that is still open, with its values so far, as the real one does.
"""

import json
import re
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from candlecast.candles import Candles, Series, to_ms
from candlecast.clock import VenueClock

INVALID_SYMBOL = '{"code":-1121,"msg":"Invalid symbol."}'
INVALID_INTERVAL = '{"code":-1120,"msg":"Invalid interval."}'
TOO_MUCH_WEIGHT = (
    '{"code":-1003,"msg":"Too much request weight used; current limit is 1200 request weight per 1 MINUTE. '
    'Please use the websocket for live updates to avoid polling the API."}'
)
IP_BANNED = (
    '{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659761931230. '
    'Please use the websocket for live updates to avoid bans."}'
)
RESTRICTED_LOCATION = (
    '{"code": 0, "msg": "Service unavailable from a restricted location according to \'b. Eligibility\' in '
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message "
    'in error."}'
)
FORBIDDEN_PAGE = "<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR</TITLE></HEAD><BODY><H1>403 ERROR</H1></BODY></HTML>"

_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
_WEIGHTS = {"/api/v3/klines": 2, "/api/v3/time": 1}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """What happens to a request instead of its answer; `how` other than `answer` breaks the connection."""

    status: int = 500
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["answer", "truncate", "drop", "hang"] = "answer"


class BinanceServer:
    """The exchange, on a free port of this machine. `clock` and `used_weight` may be set while it runs.

    with BinanceServer({Series.parse("binance:BTC-USDT:15m"): candles}, clock) as server:
        settings = load_settings(binance_url=server.url, venue_backoff=0)
    """

    def __init__(self, candles: Mapping[Series, Candles], clock: VenueClock | Callable[[], datetime]) -> None:
        self.candles = {
            (f"{series.symbol.base}{series.symbol.quote}", series.interval.value): columns
            for series, columns in candles.items()
        }
        self.clock = clock
        self.requests: list[Request] = []
        self.used_weight = 0
        self._weight_minute: int | None = None
        self._failures: deque[Failure] = deque()
        self._closing = Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

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
        """What CANDLECAST_BINANCE_URL is to hold."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def now(self) -> datetime:
        """Return the exchange's time."""
        return self.clock.now() if isinstance(self.clock, VenueClock) else self.clock()

    def fail_next(
        self, status: int, body: str = "", headers: Mapping[str, str] | None = None, *, times: int = 1
    ) -> None:
        """Answer the next requests with this instead."""
        self._failures.extend([Failure(status, body, headers or {})] * times)

    def truncate_next(self, *, times: int = 1) -> None:
        """Break the connection in the middle of the next answers."""
        self._failures.extend([Failure(how="truncate")] * times)

    def drop_next(self, *, times: int = 1) -> None:
        """Break the connection before the next answers."""
        self._failures.extend([Failure(how="drop")] * times)

    def hang_next(self, *, times: int = 1) -> None:
        """Leave the next requests without an answer until the server closes."""
        self._failures.extend([Failure(how="hang")] * times)

    def take(self, request: Request) -> Failure:
        """Return what to send, a scripted failure or the true answer."""
        self.requests.append(request)
        if self._failures:
            failure = self._failures.popleft()
            if failure.how == "hang":
                self._closing.wait()
            if failure.how != "truncate":
                return failure
            status, body = self._answer(request)
            return Failure(status, body, how="truncate")
        status, body = self._answer(request)
        return Failure(status, body, {"x-mbx-used-weight-1m": str(self._weigh(request.path))})

    def _weigh(self, path: str) -> int:
        minute = to_ms(self.now()) // 60_000
        if self._weight_minute not in (None, minute):
            self.used_weight = 0
        self._weight_minute = minute
        self.used_weight += _WEIGHTS.get(path, 1)
        return self.used_weight

    def _answer(self, request: Request) -> tuple[int, str]:
        if request.path == "/api/v3/time":
            return 200, json.dumps({"serverTime": to_ms(self.now())})
        if request.path != "/api/v3/klines":
            return 404, "<html><body><h2>404 Not found</h2></body></html>"
        params = request.params
        for name in ("symbol", "interval"):
            if not params.get(name):
                return 400, _error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        for name in ("startTime", "endTime", "limit"):
            if not re.fullmatch(r"[0-9]{1,20}", params.get(name, "0")):
                return 400, _error(
                    -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
                )
        if params["interval"] not in _INTERVALS:
            return 400, INVALID_INTERVAL
        if params["symbol"] not in {symbol for symbol, _ in self.candles}:
            return 400, INVALID_SYMBOL
        return 200, json.dumps(self._klines(params))

    def _klines(self, params: dict[str, str]) -> list[list[Any]]:
        candles = self.candles.get((params["symbol"], params["interval"]))
        if candles is None:
            return []
        now = to_ms(self.now())
        times = candles.open_time.astype(np.int64)
        first, last = int(params.get("startTime", 0)), int(params.get("endTime", 2**62))
        rows = np.flatnonzero((times >= first) & (times <= last) & (times <= now))
        limit = min(int(params.get("limit", 500)), 1000)
        chosen = rows[:limit] if "startTime" in params else rows[-limit:]
        return [kline(candles, int(row), now) for row in chosen]


def kline(candles: Candles, row: int, now: int) -> list[Any]:
    """Return one row of the exchange's answer; of a candle still open at `now` (epoch ms) only what happened so far."""
    opened = int(candles.open_time[row].astype(np.int64))
    length = candles.interval.milliseconds
    part = min(1.0, (now - opened) / length)
    price, high, low, close, volume, quote_volume, trades, taker = (
        float(np.nan_to_num(column[row])) for name, column in candles.columns().items() if name != "open_time"
    )
    if part < 1:
        close = price + part * (close - price)
        high, low = max(price, close), min(price, close)
    volume, quote_volume, taker = part * volume, part * quote_volume, part * taker
    return [
        opened,
        *map(repr, (price, high, low, close, volume)),
        opened + length - 1,
        repr(quote_volume),
        int(part * trades),
        repr(taker),
        repr(taker * price),
        "0",
    ]


def _error(code: int, message: str) -> str:
    return json.dumps({"code": code, "msg": message})


def _handler(server: BinanceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            answer = server.take(Request(url.path, dict(parse_qsl(url.query)), dict(self.headers)))
            if answer.how in ("drop", "hang"):
                self._break()
            else:
                self._send(answer)

        def _send(self, answer: Failure) -> None:
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if answer.how == "truncate":
                self.wfile.write(body[: len(body) // 2])
                self._break()
            else:
                self.wfile.write(body)

        def _break(self) -> None:
            self.close_connection = True
            with suppress(OSError):  # the client may have gone first
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
