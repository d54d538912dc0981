"""Pages that are open at once share one look; each gets what it was answered, and none what is old."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from candlecast.client import Client, ServiceAway
from candlecast.client import base as client_base
from tests.ui.making import SERIES
from tests.ui.test_page import Service
from ui.looks import Looks
from ui.snapshot import Snapshot


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(service: Service, clock: Clock) -> Looks:
    return Looks(Client("http://service", transport=httpx.MockTransport(service)), 1.0, clock)


def test_pages_that_ask_at_the_same_moment_cost_one_look() -> None:
    service, arrived = Service(), threading.Barrier(8)
    looks = made(service, Clock())

    def page() -> object:
        arrived.wait()
        return looks.look(SERIES, 1, None)

    with ThreadPoolExecutor(8) as pool:
        seen = [one.result() for one in [pool.submit(page) for _ in range(8)]]
    assert service.asked.count("/v1/forecasts/latest") == 1
    assert all(one is seen[0] for one in seen)


def test_look_grows_old_and_other_series_and_horizons_have_their_own() -> None:
    service, clock = Service(), Clock()
    looks = made(service, clock)
    first = looks.look(SERIES, 1, None)
    assert looks.look(SERIES, 5, None) is not first
    clock.now = 1.0
    assert looks.look(SERIES, 1, None) is first
    clock.now = 1.1
    assert looks.look(SERIES, 1, None) is not first


def test_failure_is_told_to_everybody_and_forgotten_with_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_base, "PAUSES", ())
    service, clock = Service(), Clock()
    looks, answers = made(service, clock), dict(service.answers)
    service.fail(how=httpx.ConnectError("refused"))
    for _ in range(2):
        with pytest.raises(ServiceAway):
            looks.look(SERIES, 1, None)
    assert service.asked.count("/v1/series") == 1
    service.answers = answers
    clock.now = 2.0
    assert looks.look(SERIES, 1, None).series == SERIES


def test_names_that_somebody_makes_up_do_not_fill_the_memory() -> None:
    looks = made(Service(), Clock())
    for horizon in range(100):
        looks.look(SERIES, horizon, None)
    assert len(looks._seen._known) == 64


def test_what_a_tab_finds_is_found_once_for_all_pages_that_show_the_same_until_something_changes() -> None:
    looks, asked = made(Service(), Clock()), []

    def gather(_: Snapshot, before: object) -> int:
        asked.append(before)
        return len(asked)

    def found(tab: str = "data", window: str = "2000", horizon: int = 1) -> object:
        return looks.gather(tab, window, looks.look(SERIES, horizon, None), None, gather)

    assert found() == found() == 1
    assert [found("models"), found(window="30"), found(horizon=5)] == [2, 3, 4]
    looks.forget()
    assert found() == 5
