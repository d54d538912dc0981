"""What costs too much for a scrape is looked at beside it, on threads of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from candlecast.errors import StoreUnavailable

log = logging.getLogger(__name__)

_REST = 9
"""Pauses last at least this many times as long as the look before, so that the database has nine tenths of its time."""


class Background:
    """Calls `look` again and again until stopped, with at least `pause` seconds between the end and the next start."""

    def __init__(self, name: str, look: Callable[[], None], pause: float) -> None:
        self._name, self._look, self._pause = name, look, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; what it is looking at just now is not waited for."""
        self._stop.set()

    def _repeat(self) -> None:
        took = 0.0
        while not self._stop.wait(max(self._pause, _REST * took) if took else 0):
            began = time.monotonic()
            try:
                self._look()
            except (StoreUnavailable, DBAPIError) as error:
                log.debug(
                    "%s looks again later: %s", self._name, error
                )  # a scrape says aloud that the database is away
            except Exception:
                log.exception("%s failed and tries again", self._name)
            took = time.monotonic() - began
