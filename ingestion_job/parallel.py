"""Several tasks at once, in threads that end together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


def side_by_side(tasks: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """Do all tasks, at most `threads` at once, and return what they return, in their order.

    When one raises, no other is begun; the error is raised once those under way have ended. Log lines of a task carry
    the context of the caller.
    """
    if not tasks:
        return []
    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        futures = [pool.submit(copy_context().run, task) for task in tasks]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()  # does nothing to those that are done, or under way
    return [future.result() for future in futures if not future.cancelled()]
