"""How fast one host is asked, by a clock that only sleeping moves."""

from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Thread

import pytest

from candlecast.errors import RateLimited
from candlecast.venues.pace import Pace


class Time:
    """A clock that moves only when somebody sleeps, and remembers how long they slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def run_threads(count: int, work: Callable[[], None], *, times: int = 1) -> None:
    def work_often() -> None:
        for _ in range(times):
            work()

    threads = [Thread(target=work_often) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pace_of(time: Time, pause: float, **options: float) -> Pace:
    return Pace(pause, clock=time.clock, sleep=time.sleep, **options)


def turns(pace: Pace, time: Time, count: int) -> list[float]:
    """Return how long each of the next turns was waited for."""
    waits = []
    for _ in range(count):
        before = time.now
        pace.turn()
        waits.append(time.now - before)
    return waits


def test_pause_lies_between_two_turns_and_not_before_the_first(time: Time) -> None:
    assert turns(pace_of(time, 0.25), time, 4) == [0, 0.25, 0.25, 0.25]


def test_who_comes_late_does_not_wait(time: Time) -> None:
    pace = pace_of(time, 0.25)
    pace.turn()
    time.now += 9
    assert turns(pace, time, 2) == [0, 0.25]


def test_without_a_pause_nobody_waits(time: Time) -> None:
    assert turns(pace_of(time, 0), time, 100) == [0] * 100
    assert time.slept == []


def test_threads_share_the_turns(time: Time) -> None:
    waits: list[float] = []  # the clock stands still, so each wait names its turn
    pace = Pace(0.5, clock=time.clock, sleep=waits.append)
    run_threads(8, pace.turn, times=25)
    assert sorted(waits) == [0.5 * turn for turn in range(1, 200)]


def test_two_threads_never_count_a_turn_at_once() -> None:
    both = Barrier(2)
    met = []

    def clock() -> float:
        with suppress(BrokenBarrierError):  # nobody else came: the turn was counted alone
            met.append(both.wait(0.2))
        return 0

    pace = Pace(0.5, clock=clock, sleep=lambda seconds: None)
    run_threads(2, pace.turn)
    assert met == []


def test_complaint_doubles_the_pause_until_it_has_been_calm(time: Time) -> None:
    pace = pace_of(time, 0.25)
    pace.turn()
    pace.complain(RateLimited("slow down"))
    assert turns(pace, time, 2) == [0.5, 0.5]
    pace.complain(RateLimited("slow down"))
    assert turns(pace, time, 2) == [1, 1]
    time.now += 60
    assert turns(pace, time, 2) == [0, 0.5]
    time.now += 60
    assert turns(pace, time, 3) == [0, 0.25, 0.25]


def test_complaint_about_somebody_without_a_pause_gives_him_one_for_a_while(time: Time) -> None:
    pace = pace_of(time, 0, first_pause=0.7)
    pace.complain(RateLimited("slow down"))
    assert turns(pace, time, 2) == pytest.approx([0.7, 0.7])
    time.now += 60
    assert turns(pace, time, 3) == [0, 0, 0]


def test_pause_grows_no_further_than_a_minute(time: Time) -> None:
    pace = pace_of(time, 12)
    for _ in range(9):
        pace.complain(RateLimited("slow down"))
    pace.turn()
    assert turns(pace, time, 1) == [60]


def test_wait_that_the_host_asks_for_is_kept_by_everybody(time: Time) -> None:
    pace = pace_of(time, 0.25)
    pace.complain(RateLimited("slow down", 17))
    assert turns(pace, time, 2) == [17, 0.5]


def test_nobody_gets_a_turn_while_the_host_asks_for_more_than_the_longest_wait(time: Time) -> None:
    pace = pace_of(time, 0, longest_wait=60)
    pace.complain(RateLimited("slow down", 90))
    time.now += 30
    with pytest.raises(RateLimited, match="slow down") as caught:
        pace.turn()
    assert caught.value.retry_after == 60
    assert time.slept == []
    time.now += 60
    pace.turn()


@pytest.mark.parametrize(("said", "lasts"), [(None, 120), (30, 30)])
def test_ban_is_kept_whatever_the_longest_wait(time: Time, said: float | None, lasts: float) -> None:
    pace = pace_of(time, 0, longest_wait=600)
    pace.complain(RateLimited("banned", said, banned=True))
    time.now += lasts - 1
    with pytest.raises(RateLimited) as caught:
        pace.turn()
    assert caught.value.details["banned"]
    assert caught.value.retry_after == 1
    time.now += 1
    pace.turn()
