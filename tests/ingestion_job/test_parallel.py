"""Tasks side by side: all of them, never too many, and one that fails ends the others without losing their work."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

import pytest

from ingestion_job.parallel import side_by_side

CONTEXT: ContextVar[str] = ContextVar("CONTEXT", default="")


def test_results_come_in_the_order_of_the_tasks() -> None:
    second_is_done = threading.Event()

    def first() -> int:
        assert second_is_done.wait(10)
        return 1

    def second() -> int:
        second_is_done.set()
        return 2

    assert side_by_side([first, second], 2) == [1, 2]


def test_never_more_than_so_many_at_once() -> None:
    under_way, most, guard = 0, 0, threading.Lock()
    both = threading.Barrier(2)

    def task() -> None:
        nonlocal under_way, most
        with guard:
            under_way += 1
            most = max(most, under_way)
        both.wait(10)
        with guard:
            under_way -= 1

    side_by_side([task] * 8, 2)
    assert most == 2


def test_after_an_error_no_task_is_begun_and_those_under_way_come_to_their_end() -> None:
    begun = threading.Event()
    failed = threading.Event()
    done: list[str] = []

    def long() -> None:
        begun.set()
        assert failed.wait(10)
        done.append("long")

    def failing() -> None:
        assert begun.wait(10)
        failed.set()
        raise ValueError("as planned")

    tasks: list[Callable[[], None]] = [long, failing, *[partial(done.append, "late")] * 50]
    with pytest.raises(ValueError, match="as planned"):
        side_by_side(tasks, 2)
    assert "long" in done
    assert done.count("late") < 50


def test_tasks_see_the_context_of_the_caller() -> None:
    CONTEXT.set("outside")
    assert side_by_side([CONTEXT.get, CONTEXT.get], 2) == ["outside", "outside"]


def test_nothing_to_do_is_done_at_once() -> None:
    assert side_by_side([], 4) == []
