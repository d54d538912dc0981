"""Lanes by themselves: who gets a place, who is told to come back, and what is left of those who gave up."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from candlecast.errors import TooBusy
from service.lanes import Lane, Lanes


@asynccontextmanager
async def _occupied(lane: Lane) -> AsyncIterator[Callable[[], None]]:
    """Let the lane's one thread wait for the function that is given."""
    begun, may_end = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return may_end.wait(30)

    working = asyncio.ensure_future(lane.run(work))
    assert await asyncio.to_thread(begun.wait, 30)
    try:
        yield may_end.set
    finally:
        may_end.set()
        await working
        lane.close()


def _lane(waiting: int = 1) -> Lane:
    return Lane("quick", at_once=1, waiting=waiting, retry_after=7.0)


def test_work_is_done_in_the_order_of_its_arrival() -> None:
    async def scene() -> list[int]:
        lane, done = _lane(), list[int]()
        async with _occupied(lane) as release:
            waiting = [asyncio.ensure_future(lane.run(done.append, number)) for number in range(5)]
            await asyncio.sleep(0)
            assert done == []
            release()
            await asyncio.gather(*waiting)
        return done

    assert asyncio.run(scene()) == [0, 1, 2, 3, 4]


def test_who_finds_no_place_is_told_when_to_come_back() -> None:
    lane = _lane(waiting=1)
    with lane.place(), lane.place():
        with pytest.raises(TooBusy, match=r"2 quick requests .* try again in 7 seconds") as caught, lane.place():
            pytest.fail("there are two places")
        assert caught.value.retry_after == 7
        assert (caught.value.http_status, caught.value.code) == (429, "too_busy")
    with lane.place(), lane.place():
        pass


def test_a_place_is_free_again_after_an_error() -> None:
    lane = _lane(waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), lane.place():
            raise ZeroDivisionError
    with lane.place():
        pass


def test_nothing_is_left_of_who_gave_up_before_his_turn() -> None:
    async def scene() -> list[str]:
        lane, done = _lane(), list[str]()
        async with _occupied(lane) as release:
            given_up = asyncio.ensure_future(lane.run(done.append, "given up"))
            patient = asyncio.ensure_future(lane.run(done.append, "patient"))
            await asyncio.sleep(0)
            given_up.cancel()
            with suppress(asyncio.CancelledError):
                await given_up
            release()
            await patient
        return done

    assert asyncio.run(scene()) == ["patient"]


def test_the_slow_lane_has_a_tenth_of_the_quick_ones_queue_but_room_for_one() -> None:
    def room(lane: Lane) -> int:
        with ExitStack() as places:
            for count in itertools.count():
                try:
                    places.enter_context(lane.place())
                except TooBusy:
                    return count
        raise AssertionError

    assert [room(lane) for lane in (Lanes(50).quick, Lanes(50).slow, Lanes(3).slow)] == [52, 6, 2]
