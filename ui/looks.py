"""What the service says, asked once for all pages that show the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from candlecast.client import Client
from ui.answers import Answers
from ui.snapshot import Snapshot, look

LIFETIME: Final = 1.0
"""Seconds that one page may be behind another."""

Gather = Callable[[Snapshot, object], object]
"""What a tab asks for beside the snapshot, given what it found before."""


class Looks:
    """Looks at the service through `client`; one that is younger than `lifetime` seconds serves everybody."""

    def __init__(self, client: Client, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._seen: Answers[Snapshot] = Answers(lifetime, clock)
        self._found: Answers[object] = Answers(lifetime, clock)

    def look(self, series: str | None, horizon: int | None, before: Snapshot | None) -> Snapshot:
        """Return what somebody sees now, or saw a moment ago; raise what they were answered."""
        return self._seen.get((series, horizon), lambda: look(self._client, series, horizon, before))

    def gather(self, tab: str, window: str, snapshot: Snapshot, before: object, gather: Gather) -> object:
        """Return what somebody's tab finds beside the snapshot now, or found a moment ago; raise likewise."""
        question = (tab, window, snapshot.series, snapshot.horizon, snapshot.forecast and snapshot.forecast.cutoff)
        return self._found.get(question, lambda: gather(snapshot, before))

    def forget(self) -> None:
        """Look anew: something has been changed."""
        self._seen.forget()
        self._found.forget()
