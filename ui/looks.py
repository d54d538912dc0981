"""One look for all pages that ask for the same at the same moment: fifty open pages cost the service as much as one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from candlecast.client import Client
from ui.snapshot import Snapshot, look

_MOST = 64  # series and horizons that are kept at once

Key = tuple[str | None, int | None]


@dataclass(slots=True)
class _Look:
    begun: float
    seen: Future[Snapshot] = field(default_factory=Future)


class Looks:
    """Looks at the service through `client`; one that is younger than `lifetime` seconds serves everybody."""

    def __init__(self, client: Client, lifetime: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._lifetime, self._clock = client, lifetime, clock
        self._lock = Lock()
        self._known: dict[Key, _Look] = {}

    def look(self, series: str | None, horizon: int | None, before: Snapshot | None) -> Snapshot:
        """Return what somebody sees now, or saw a moment ago; raise what they were answered."""
        key, mine = (series, horizon), _Look(self._clock())
        with self._lock:
            known = self._known.get(key)
            if known is not None and mine.begun - known.begun <= self._lifetime:
                mine = known
            else:
                self._keep(key, mine)
        if mine is not known:
            try:
                mine.seen.set_result(look(self._client, series, horizon, before))
            except BaseException as error:
                mine.seen.set_exception(error)
                raise
        return mine.seen.result()

    def _keep(self, key: Key, mine: _Look) -> None:
        self._known.pop(key, None)
        while len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        self._known[key] = mine
