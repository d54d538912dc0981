"""Callers who ask for the newest forecasts without pause, and remember what they were told and what went wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

_PAUSE = 0.01
_SAID = ("target_time", "issued_at", "last_close", "point", "p_up", "quantiles", "intervals", "baseline", "status")

Key = tuple[str, int, str, str]
"""Series, horizon, cutoff and model version of an answer."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no answer, or another one than 200: of which server, from when to when, and what came."""

    server: httpx.URL
    begun: float
    ended: float
    what: str


@dataclass(slots=True)
class Heard:
    """Everything that callers were told. `told` holds each different text that was said under one key."""

    answers: int = 0
    abstained: int = 0
    told: dict[Key, set[str]] = field(default_factory=dict)
    stale: list[tuple[float, bool]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, answered_at: float, forecasts: Sequence[dict[str, Any]]) -> None:
        """Remember an answer."""
        with self._lock:
            self.answers += 1
            for one in forecasts:
                if one["status"] == "abstained":
                    self.abstained += 1
                    continue
                key = (one["series"], one["horizon"], one["cutoff"], one["model_version"])
                said = json.dumps({name: one[name] for name in _SAID}, sort_keys=True)
                self.told.setdefault(key, set()).add(said)
                self.stale.append((answered_at, one["stale"]))

    def fail(self, failure: Failure) -> None:
        """Remember what was no answer."""
        with self._lock:
            self.failures.append(failure)


@contextmanager
def callers(servers: Sequence[httpx.URL], each: int) -> Iterator[Heard]:
    """Let `each` callers ask every server until the block ends: every other one on a new connection each time."""
    heard, stop = Heard(), threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(server, bool(number % 2), heard, stop))
        for server in servers
        for number in range(each)
    ]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(server: httpx.URL, keeps_connection: bool, heard: Heard, stop: threading.Event) -> None:
    limits = httpx.Limits(max_keepalive_connections=1 if keeps_connection else 0)
    with httpx.Client(base_url=server, timeout=60, limits=limits) as client:
        before = time.monotonic()
        while not stop.wait(_PAUSE):
            begun = time.monotonic()
            try:
                response = client.get("/v1/forecasts/latest")
            except httpx.TransportError as error:
                # A connection that is kept may have been lost since it was last used.
                heard.fail(Failure(server, before, time.monotonic(), repr(error)))
            else:
                ended = time.monotonic()
                if response.status_code == 200:
                    heard.take(ended, response.json()["forecasts"])
                else:
                    heard.fail(Failure(server, begun, ended, f"{response.status_code} {response.text}"))
            before = begun
