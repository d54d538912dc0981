"""A worker that is asked for huge batches: what is short is answered meanwhile, and what is too much is refused."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import httpx
import pytest

from candlecast.candles import Interval
from candlecast.store.database import Database
from tests.making import make_candles
from tests.service.house import BTC, House, begin, body, service_environment, serving, wait_until_ready

MOST = 5000
LONG = make_candles(512 + MOST, Interval.M15, seed=21)
HUGE = json.dumps(body(LONG, last=MOST)).encode()
MIDDLING = json.dumps(body(LONG[-1000:], last=400)).encode()
SMALL = json.dumps(body(LONG[-512:])).encode()


@pytest.fixture(scope="module")
def narrow(new_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a service of one worker with a short queue."""
    url, folder = new_database_url(), tmp_path_factory.mktemp("narrow")
    with closing(Database(url, url)) as database:
        begin(database, BTC)
        environment = service_environment(url, folder, str(BTC), max_waiting_forecasts="40")
        with serving(environment, database, folder) as found:
            wait_until_ready(found)
            yield found


def _post(house: House, content: bytes) -> httpx.Response:
    return house.http.post("/v1/forecasts", content=content, headers={"content-type": "application/json"})


def test_what_is_short_is_answered_while_huge_batches_go_on(narrow: House) -> None:
    with ThreadPoolExecutor(8) as askers:
        huge = [askers.submit(_post, narrow, HUGE) for _ in range(4)]
        middling = askers.submit(_post, narrow, MIDDLING)
        assert middling.result().status_code == 200
        assert not any(one.done() for one in huge), "the slow lane takes turns"
        assert _post(narrow, SMALL).status_code == 200
        assert narrow.latest(BTC)["status"] == "baseline"
        assert not any(one.done() for one in huge), "the quick lane is another one"
        assert [one.result().status_code for one in huge] == [200] * 4
    assert huge[0].result().content == huge[3].result().content
    assert len(huge[0].result().json()["forecasts"]) == 2 * MOST


def test_more_than_can_wait_is_told_to_come_back_and_leaves_nothing_behind(narrow: House) -> None:
    with ThreadPoolExecutor(12) as askers:
        answers = list(askers.map(partial(_post, narrow), [HUGE] * 12))
    said = Counter(answer.status_code for answer in answers)
    assert said[200] >= 5, "one is worked on, four may wait"
    assert said == {200: said[200], 429: 12 - said[200]}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("too_busy", "5")
    assert _post(narrow, HUGE).status_code == 200
