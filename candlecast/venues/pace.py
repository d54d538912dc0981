"""How fast one host is asked: by all threads together, slower after it complained, not at all while it bans us."""

import time
from collections.abc import Callable
from threading import Lock

from candlecast.errors import RateLimited
from candlecast.venues.base import Sleep

_CALM = 60.0  # seconds without a complaint after which a pause is halved again
_LONGEST_PAUSE = 60.0
_SHORTEST_BAN = 120.0  # the least that Binance documents, for a ban that does not say


class Pace:
    """Turns for the requests to one host; all times are in seconds.

    `pause` lies between two turns. A complaint doubles it for a while, from at least `first_pause`. Where the host
    asks for a wait of up to `longest_wait`, the next turn comes after it; for a longer one nobody gets a turn.
    """

    def __init__(
        self,
        pause: float = 0,
        *,
        first_pause: float = 0,
        longest_wait: float = 60,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._least = self._pause = pause
        self._first_pause = first_pause
        self._longest_wait = longest_wait
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next_turn = 0.0
        self._calm_at = 0.0
        self._refusal: tuple[float, RateLimited] | None = None

    def turn(self) -> None:
        """Wait until the host may be asked; raise RateLimited where that is further away than the longest wait."""
        with self._lock:
            now = self._clock()
            self._raise_refusal(now)
            self._calm_down(now)
            turn = max(now, self._next_turn)
            self._next_turn = turn + self._pause
        if turn > now:
            self._sleep(turn - now)

    def complain(self, error: RateLimited) -> None:
        """Take in that the host asked for patience."""
        banned = bool(error.details.get("banned"))
        wait = error.retry_after
        if wait is None:
            wait = _SHORTEST_BAN if banned else 0.0
        with self._lock:
            now = self._clock()
            if banned or wait > self._longest_wait:
                self._refusal = (now + wait, error)
                return
            self._pause = min(_LONGEST_PAUSE, max(2 * self._pause, self._first_pause))
            self._calm_at = now + _CALM
            self._next_turn = max(self._next_turn, now + max(wait, self._pause))

    def _raise_refusal(self, now: float) -> None:
        if self._refusal is None:
            return
        until, error = self._refusal
        if now < until:
            raise RateLimited(error.message, until - now, **error.details)
        self._refusal = None

    def _calm_down(self, now: float) -> None:
        while self._pause > self._least and now >= self._calm_at:
            half = self._pause / 2
            self._pause = half if half > max(self._least, self._first_pause / 2) else self._least
            self._calm_at += _CALM
