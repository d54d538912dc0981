"""The threads of a worker: one keeps the board up to date, one checks the ledger's chain now and then."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from candlecast.errors import StoreUnavailable
from candlecast.store import ledger
from candlecast.store.database import CANDLE_CHANNEL, CHAMPION_CHANNEL, Listener
from candlecast.store.ledger import ChainState
from service.board import Board

log = logging.getLogger(__name__)

_AUDIT_SECONDS = 60.0
_AUDIT_REST = 19  # times as long as the check took: with millions of rows it takes minutes, in each worker
_WARM_UP_SECONDS = 20.0
# News is looked for even where notifications arrive: one may be lost while the connection is renewed.
_LISTEN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Audit:
    """The last check of the ledger's chain."""

    state: ChainState
    checked_at: datetime


class Follower:
    """Follows the database until stopped; survives its absence."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.audit: Audit | None = None
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._audit_due = 0.0
        self._listener: Listener | None = None
        self._threads = [
            threading.Thread(target=self._follow, name="follower", daemon=True),
            threading.Thread(target=self._audit, name="auditor", daemon=True),
        ]

    def start(self) -> None:
        """Start both threads, and return once the board is filled, or could not be, or it takes too long.

        A worker that answers before its board is filled could only say that it does not know yet.
        """
        for thread in self._threads:
            thread.start()
        self._looked.wait(_WARM_UP_SECONDS)

    def stop(self) -> None:
        """Stop both threads; returns within a few seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._hang_up()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
                self.board.refresh()
                self._looked.set()
                self._wait()
            except StoreUnavailable as error:
                log.warning("%s; answering what was last known", error.message)
                self.board.away()
                self._hang_up()
                self._looked.set()
                self._stop.wait(self.board.settings.poll_seconds)
            except Exception:
                log.exception("the board could not be refreshed")
                self.board.away()
                self._looked.set()
                self._stop.wait(self.board.settings.poll_seconds)

    def _listen(self) -> None:
        if self._listener is None and self.board.database.can_listen:
            self._listener = self.board.database.listener(CANDLE_CHANNEL, CHAMPION_CHANNEL)

    def _wait(self) -> None:
        """Wait for news; what remains to be said in the champions' shadow is said meanwhile, a little at a time."""
        until = time.monotonic() + (_LISTEN_SECONDS if self._listener else self.board.settings.poll_seconds)
        while not self._stop.is_set() and (remaining := until - time.monotonic()) > 0:
            more = not self.board.waiting and self.board.speak_in_shadow()
            # In short steps, so that stopping does not have to wait for news.
            if self._hears(0 if more else min(remaining, 1.0)) or self.board.waiting:
                return

    def _hears(self, seconds: float) -> bool:
        if self._listener is None:
            return self._stop.wait(seconds)
        return bool(self._listener.wait(seconds))

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _audit(self) -> None:
        while not self._stop.wait(1.0):
            if not self.board.reached or time.monotonic() < self._audit_due:
                continue
            began = time.monotonic()
            try:
                with self.board.database.begin() as connection:
                    state = ledger.verify(connection)
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("the ledger could not be checked")
                self._stop.wait(_AUDIT_SECONDS)
                continue
            ended = time.monotonic()
            self._audit_due = ended + max(_AUDIT_SECONDS, _AUDIT_REST * (ended - began))
            self.audit = Audit(state, datetime.now(UTC))
            if not state.intact:
                log.error("the ledger is broken at %s", state.broken_at)
