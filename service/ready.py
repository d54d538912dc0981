"""GET /v1/forecasts/latest: answers that are encoded once and then given as bytes for as long as they are true."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import Counter

from candlecast import api
from candlecast.candles import Series
from candlecast.errors import UsageError
from candlecast.metrics import LATEST_ANSWERS
from service import answers
from service.asked import BoardNow, configured, parse_series, served
from service.board import Board

PATH = "/v1/forecasts/latest"

_SECONDS = 1.0
"""How old the venue's clock in an answer may be, in wall time of a venue whose clock walks as ours does."""

_LONGEST = 86_400.0  # seconds; a replay's clock may stand still
_MOST_QUERIES = 10_000
_LEAST_GZIPPED = 500  # bytes
_PLAIN_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_NEVER = re.compile(r"q=0(\.0*)?")

router = APIRouter(prefix="/v1")

Headers = list[tuple[bytes, bytes]]
Asked = tuple[Series | None, int | None]
"""A series and a horizon; None for all of them."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to give an answer, for the route and as the bytes of the wire, which lack what differs each time."""

    status: int
    headers: Headers
    body: bytes
    head: bytes

    @classmethod
    def of(cls, status: int, headers: Headers, body: bytes = b"") -> Variant:
        """Return the variant with its status line and headers as bytes."""
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return cls(status, headers, body, b"HTTP/1.1 %d %b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), lines))


@dataclass(slots=True)
class Ready:
    """One answer. `etag` stays the same as long as nothing but the clock in it changes."""

    body: bytes
    etag: bytes
    headers: Headers
    counters: tuple[Counter, ...]
    changes: int
    until: float
    _unchanged: Variant | None = None
    _whole: Variant | None = None
    _gzipped: Variant | None = None

    def answer(self, matches: bytes | None, encodings: bytes) -> Variant:
        """Return the answer for the values of If-None-Match and Accept-Encoding; count it."""
        for counter in self.counters:
            counter.inc()
        if matches is not None and _is_among(self.etag, matches):
            self._unchanged = found = self._unchanged or Variant.of(304, self.headers)
        elif encodings and len(self.body) >= _LEAST_GZIPPED and _takes_gzip(encodings):
            self._gzipped = found = self._gzipped or self._encoded(
                gzip.compress(self.body, compresslevel=6, mtime=0), (b"content-encoding", b"gzip")
            )
        else:
            self._whole = found = self._whole or self._encoded(self.body)
        return found

    def _encoded(self, body: bytes, *encoding: tuple[bytes, bytes]) -> Variant:
        length = (b"content-length", b"%d" % len(body))
        return Variant.of(200, [*self.headers, *encoding, (b"content-type", b"application/json"), length], body)


class ReadyAnswers:
    """The answers of one worker, made when they are asked for and kept until the board changes or its clock moves on.

    `find` is called by the thread of the event loop only.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._ready: dict[Asked, Ready] = {}
        self._plain: dict[bytes, Ready] = {}

    def find(self, asked: Asked) -> Ready:
        """Return the answer for a configured series and a served horizon."""
        ready = self._ready.get(asked)
        if ready is None or not self._is_true(ready):
            ready = self._ready[asked] = self._make(asked)
        return ready

    def find_plain(self, query: bytes) -> Ready | None:
        """Return the answer for a query string; None where that is not as plain as it can be, or not served."""
        ready = self._plain.get(query)
        if ready is not None and self._is_true(ready):
            return ready
        asked = _read(query)
        if asked is None or not self._is_served(*asked):
            return None
        if len(self._plain) >= _MOST_QUERIES:
            self._plain.clear()  # the same things, spelt in ever other ways
        ready = self._plain[query] = self.find(asked)
        return ready

    def _is_true(self, ready: Ready) -> bool:
        return ready.changes == self._board.changes and time.monotonic() < ready.until

    def _is_served(self, series: Series | None, horizon: int | None) -> bool:
        board = self._board
        known = (series is None or series in board.series) and (horizon is None or horizon in board.settings.horizons)
        return board.reached and known

    def _make(self, asked: Asked) -> Ready:
        board, (series, horizon) = self._board, asked
        # Read first: a change meanwhile makes the answer old at once.
        changes, begun = board.changes, time.monotonic()
        wanted = [series] if series else list(board.series)
        horizons = [horizon] if horizon else board.settings.horizons
        found = [answers.latest(board, one, h) for one in wanted for h in horizons]
        said = api.LatestForecasts(forecasts=found)
        timeless = said.model_dump_json(exclude={"forecasts": {"__all__": {"now"}}})
        etag = b'W/"%b"' % blake2b(timeless.encode(), digest_size=12).hexdigest().encode()
        fastest = max((one.clock_speed for one in found), default=1.0)
        return Ready(
            said.model_dump_json().encode(),
            etag,
            self._headers(etag, found),
            tuple(LATEST_ANSWERS.labels(one.status, one.reason or "") for one in found),
            changes,
            begun + _SECONDS / max(1.0, fastest),
        )

    def _headers(self, etag: bytes, found: Sequence[api.LatestForecast]) -> Headers:
        seconds = min((self._lasts(one) for one in found), default=0.0)
        who = "private" if self._board.settings.protect_reading else "public"
        control = f"{who}, max-age={int(seconds)}" if seconds >= 1 else "no-cache"
        headers = [(b"etag", etag), (b"cache-control", control.encode()), (b"vary", b"Accept-Encoding")]
        issued = [one.issued_at for one in found if one.issued_at]
        if issued:
            headers.append((b"last-modified", format_datetime(max(issued), usegmt=True).encode()))
        return headers

    def _lasts(self, said: api.LatestForecast) -> float:
        """Return the wall seconds until the candle after the newest closes; 0 where something else may end it."""
        if said.cutoff is None or said.stale:
            return 0.0
        closes = said.cutoff + parse_series(said.series).interval.delta
        return min(_LONGEST, (closes - said.now).total_seconds() / said.clock_speed)


@router.get("/forecasts/latest", response_model=api.LatestForecasts, responses={304: {"description": "As it was"}})
async def latest_forecasts(
    board: BoardNow,
    http: Request,
    series: Annotated[str | None, Query(description="All configured series when left out")] = None,
    horizon: Annotated[int | None, Query(ge=1, description="All configured horizons when left out")] = None,
) -> Response:
    """Return the newest forecasts, or for each the reason why there is none."""
    kept: ReadyAnswers = http.app.state.ready
    ready = kept.find(
        (
            configured(board, series) if series is not None else None,
            served(board, horizon) if horizon is not None else None,
        )
    )
    matches, encodings = http.headers.get("if-none-match"), http.headers.get("accept-encoding", "")
    variant = ready.answer(matches.encode() if matches is not None else None, encodings.encode())
    response = Response(status_code=variant.status)
    response.body, response.raw_headers = variant.body, [*variant.headers]
    return response


def _read(query: bytes) -> Asked | None:
    """Return what a query string asks for; None where it is not as plain as it can be."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=2)
        given = dict(pairs)
        series = Series.parse(given.pop("series")) if "series" in given else None
        horizon = given.pop("horizon", None)
    except (ValueError, UsageError):
        return None
    if given or len(pairs) != (series is not None) + (horizon is not None):
        return None
    if horizon is None:
        return series, None
    return (series, int(horizon)) if _PLAIN_NUMBER.fullmatch(horizon) else None


@lru_cache(maxsize=256)
def _takes_gzip(encodings: bytes) -> bool:
    """Return whether a value of Accept-Encoding allows gzip (RFC 9110, 12.5.3)."""
    for part in encodings.decode("latin-1").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not _NEVER.fullmatch(weight.strip())
    return False


def _is_among(etag: bytes, matches: bytes) -> bool:
    """Return whether a value of If-None-Match holds the tag, compared weakly (RFC 9110, 13.1.2)."""
    tags = [one.strip().removeprefix(b"W/") for one in matches.split(b",")]
    return etag.removeprefix(b"W/") in tags or tags == [b"*"]
