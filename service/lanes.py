"""Where a caller's own candles are worked on: a quick lane, and a slow one, so that what is short never waits for long.

A lane is a few threads and a bounded queue. Work that takes long comes as short pieces, each of which queues again:
requests in the slow lane take turns, and whoever gives up leaves nothing behind but the piece that is being worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from candlecast.errors import TooBusy

_SLOW_SHARE = 10
"""Of so many requests that may wait in the quick lane, one may wait in the slow one: its bodies are the large ones."""

Result = TypeVar("Result")


class Lane:
    """Threads that work on what arrives, in its order: `at_once` requests, while `waiting` more wait.

    Only `run`'s work leaves the event loop's thread.
    """

    def __init__(self, name: str, *, at_once: int, waiting: int, retry_after: float) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=f"{name} lane")
        self._most = at_once + waiting
        self._retry_after = retry_after
        self._inside = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place until the block ends; raise TooBusy where none is left."""
        if self._inside >= self._most:
            raise TooBusy(
                f"{self._inside} {self._name} requests with candles of their own wait already; try again in "
                f"{self._retry_after:.0f} seconds",
                self._retry_after,
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Return what `work` returns, as soon as one of the threads has come to it."""
        called = partial(copy_context().run, work, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, called)

    def close(self) -> None:
        """Take nothing on any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Lanes:
    """The lanes of one worker; `waiting` requests may wait in the quick one, a tenth of them in the slow one."""

    def __init__(self, waiting: int) -> None:
        self.quick = Lane("quick", at_once=2, waiting=waiting, retry_after=1.0)
        self.slow = Lane("slow", at_once=1, waiting=max(waiting // _SLOW_SHARE, 1), retry_after=5.0)

    def close(self) -> None:
        """Take nothing on any more."""
        self.quick.close()
        self.slow.close()
