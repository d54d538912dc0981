"""Answers that are kept as bytes: the same as made anew, said to be so to caches, and never older than they may be."""

import gzip
import json
import socket
import threading
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from service.board import Board
from service.ready import Ready, ReadyAnswers
from tests.making import make_candles
from tests.service.house import BTC, EMPTY, LIVE, NOON, REPLAYED, House, set_clock
from tests.service.wire import status_of, talk

PATH = "/v1/forecasts/latest"
HOUR = 3600


def _ask(house: House, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    return house.http.get(PATH, params={"series": str(BTC), "horizon": 1, **query}, headers=headers)


def _without_clock(response: httpx.Response) -> Any:
    said = response.json()
    for one in said["forecasts"]:
        del one["now"]
    return said


@pytest.mark.parametrize("query", [{}, {"series": str(BTC)}, {"horizon": 5}, {"series": str(EMPTY), "horizon": 1}])
def test_the_layer_in_front_and_the_route_inside_say_the_same(house: House, query: dict[str, Any]) -> None:
    front = house.http.get(PATH, params=query)
    # A page of another origin is for the layers inside.
    inside = house.http.get(PATH, params=query, headers={"Origin": "https://elsewhere.example"})
    assert (front.status_code, inside.status_code) == (200, 200)
    assert _without_clock(front) == _without_clock(inside)
    names = ("etag", "vary", "content-type", "content-encoding", "last-modified")
    assert {name: front.headers.get(name) for name in names} == {name: inside.headers.get(name) for name in names}
    assert front.headers["x-request-id"] != inside.headers["x-request-id"]


@pytest.mark.parametrize("given", ["mine-1", "not sane!"])
def test_a_sane_request_id_is_kept(house: House, given: str) -> None:
    answered = _ask(house, {"X-Request-ID": given}).headers["x-request-id"]
    assert (answered == given) == (given == "mine-1")
    assert len(answered) in (6, 32)


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://elsewhere.example"}])
@pytest.mark.parametrize("spelling", ["{}", 'W/"other", {}', "*"])
def test_who_has_the_answer_already_gets_no_body(house: House, spelling: str, origin: dict[str, str]) -> None:
    etag = _ask(house).headers["etag"]
    for matches in (spelling.format(etag), spelling.format(etag.removeprefix("W/"))):
        again = _ask(house, {"If-None-Match": matches, **origin})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert _ask(house, {"If-None-Match": 'W/"other"', **origin}).status_code == 200


def test_another_forecast_has_another_tag(house: House) -> None:
    assert _ask(house).headers["etag"] != _ask(house, horizon=5).headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("*", "gzip"), ("identity", None), ("gzip;q=0", None), ("br", None)],
)
def test_it_is_compressed_for_those_who_take_that(house: House, accepted: str, encoding: str | None) -> None:
    with house.http.stream("GET", f"{PATH}?series={BTC}&horizon=1", headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers.get("content-encoding") == encoding
    assert int(response.headers["content-length"]) == len(raw)
    said = json.loads(gzip.decompress(raw) if encoding else raw)
    assert said["forecasts"][0]["series"] == str(BTC)
    assert response.headers["vary"] == "Accept-Encoding"


def test_caches_may_keep_it_until_the_next_candle_closes(house: House) -> None:
    response = _ask(house)
    (said,) = response.json()["forecasts"]
    control, _, seconds = response.headers["cache-control"].partition("max-age=")
    assert control == "public, "
    left = NOON + timedelta(hours=4) - datetime.fromisoformat(said["now"])
    assert abs(int(seconds) - left.total_seconds()) <= 1
    issued = datetime.fromisoformat(said["issued_at"])
    assert parsedate_to_datetime(response.headers["last-modified"]) == issued.replace(microsecond=0)


def test_silence_is_not_kept(house: House) -> None:
    response = _ask(house, series=str(EMPTY))
    assert response.json()["forecasts"][0]["status"] == "abstained"
    assert response.headers["cache-control"] == "no-cache"
    assert "last-modified" not in response.headers


@pytest.mark.parametrize(
    "query", ["", "horizon=1", f"series={REPLAYED}", f"horizon=5&series={str(REPLAYED).replace(':', '%3A')}"]
)
def test_a_plain_query_is_understood(board: Board, query: str) -> None:
    board.refresh()
    ready = ReadyAnswers(board).find_plain(query.encode())
    assert ready is not None
    wanted = [REPLAYED] if "series" in query else [LIVE, REPLAYED]
    horizons = [int(query[8])] if "horizon" in query else [1, 5]
    found = [(one["series"], one["horizon"]) for one in json.loads(ready.body)["forecasts"]]
    assert found == [(str(series), horizon) for series in wanted for horizon in horizons]


@pytest.mark.parametrize(
    "query",
    [
        "series=",
        "series=replay:DOGE-USDT:15m",
        f"series={REPLAYED}&series={REPLAYED}",
        "horizon=2",
        "horizon=01",
        "horizon=+1",
        "horizon=1&horizon=1",
        "horizon=1&last=1",
        "&",
        "horizon",
        "series=\xff",
        "a=1&b=2&c=3&d=4",
    ],
)
def test_any_other_query_is_for_the_route_that_says_what_is_wrong(board: Board, query: str) -> None:
    board.refresh()
    assert ReadyAnswers(board).find_plain(query.encode("latin-1")) is None


def test_nothing_is_understood_before_the_database_was_reached(board: Board) -> None:
    assert ReadyAnswers(board).find_plain(b"") is None


def _status(ready: Ready) -> tuple[str, bool]:
    (said,) = json.loads(ready.body)["forecasts"]
    return said["status"], said["stale"]


def test_an_answer_is_made_once_and_anew_when_the_board_changes(board: Board, database: Database) -> None:
    board.refresh()
    answers, asked = ReadyAnswers(board), (REPLAYED, 1)
    first = answers.find(asked)
    first.until = float("inf")  # the clock alone must not end it
    assert answers.find(asked) is first, "nothing has changed"

    board.away()
    away = answers.find(asked)
    assert (_status(first), _status(away)) == (("baseline", False), ("baseline", True))
    assert away.etag != first.etag
    board.refresh()
    back = answers.find(asked)
    assert (_status(back), back.etag) == (("baseline", False), first.etag)

    candles = make_candles(601)
    set_clock(database, candles.cutoff)
    with database.begin() as connection:
        candle_store.upsert(connection, REPLAYED, candles, source="test", now=candles.cutoff)
    board.refresh()
    (said,) = json.loads(answers.find(asked).body)["forecasts"]
    assert datetime.fromisoformat(said["cutoff"]) == candles.cutoff


def test_the_clock_in_an_answer_moves_on_without_making_it_another_one(board: Board) -> None:
    board.refresh()
    answers = ReadyAnswers(board)
    first = answers.find((LIVE, None))
    first.until = 0.0
    second = answers.find((LIVE, None))
    assert second is not first
    assert second.body != first.body
    assert second.etag == first.etag


def _plain(path: str = f"{PATH}?series={BTC}&horizon=1", version: str = "1.1", *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "host: here", *more, "", ""]).encode()


def _answers(received: bytes) -> list[tuple[int, bytes]]:
    """Return status and body of each answer."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        (length,) = [int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length")]
        found.append((status_of(head), rest[:length]))
        received = rest[length:]
    return found


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(house: House) -> None:
    paths = [f"{PATH}?series={BTC}&horizon=1", "/v1/status", f"{PATH}?series={BTC}&horizon=5", f"{PATH}?horizon=2", "/"]
    sent = b"".join(map(_plain, paths * 3)) + _plain("/v1/status", "1.1", "connection: close")
    found = _answers(talk(house, sent))
    assert [status for status, _ in found] == [200, 200, 200, 400, 200] * 3 + [200]
    horizons = [json.loads(body)["forecasts"][0]["horizon"] for _, body in found[:-1:5] + found[2:-1:5]]
    assert horizons == [1, 1, 1, 5, 5, 5]


def test_a_caller_who_does_not_read_gets_all_of_it_later(house: House) -> None:
    count = 5000
    with socket.create_connection(("127.0.0.1", house.http.base_url.port or 80), timeout=20) as connection:
        writer = threading.Thread(
            target=connection.sendall, args=(_plain() * count + _plain("/", "1.1", "connection: close"),)
        )
        writer.start()
        assert house.http.get("/v1/status").status_code == 200, "the others are served meanwhile"
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        writer.join()
    assert received.count(b'"horizon":1') == count


@pytest.mark.parametrize(
    "request_",
    [
        _plain(version="1.0"),
        _plain(f"{PATH}?series={BTC}&horizon=1", "1.1", "connection: close"),
        _plain(f"{PATH}?series={BTC}&horizon=1", "1.1", "connection: close", "content-length: 5") + b"12345",
        _plain(f"http://here{PATH}?series={BTC}&horizon=1", "1.1", "connection: close"),
    ],
)
def test_whoever_asks_less_plainly_gets_the_same(house: House, request_: bytes) -> None:
    ((status, content),) = _answers(talk(house, request_))
    (said,) = json.loads(content)["forecasts"]
    (wanted,) = _ask(house).json()["forecasts"]
    assert (status, said["target_time"]) == (200, wanted["target_time"])
