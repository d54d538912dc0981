"""Callers who send half a request, or never read what they asked for: others are served, and memory stays bounded."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import psutil
import pytest

from tests.service.house import BTC, House
from tests.waiting import eventually

HUNDREDS = 300
_CLOSING = 20
MEGABYTE = 1_000_000
_ASK = f"GET /v1/forecasts/latest?series={BTC}&horizon=1 HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def _half_a_head(connection: socket.socket) -> None:
    connection.sendall(_ASK[:40])


def _half_a_body(connection: socket.socket) -> None:
    connection.sendall(b"POST /v1/forecasts HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n{")


def _silence(connection: socket.socket) -> None:
    """Say nothing at all."""


def _questions_without_end(connection: socket.socket) -> None:
    """Ask as long as anybody listens, and read none of the answers."""
    _ask_on(connection, _ASK * 200)


def _questions_of_the_app(connection: socket.socket) -> None:
    """Ask for what only the app answers, and read none of it."""
    _ask_on(connection, b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 50)


def _ask_on(connection: socket.socket, asked: bytes) -> None:
    connection.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(100):
            if connection.send(asked) < len(asked):
                return


@pytest.mark.parametrize(
    ("begin", "count"),
    [
        (_half_a_head, HUNDREDS),
        (_half_a_body, HUNDREDS),
        (_silence, HUNDREDS),
        (_questions_without_end, 20),
        (_questions_of_the_app, 20),
    ],
)
def test_who_keeps_the_service_waiting_costs_others_nothing(
    house: House, begin: Callable[[socket.socket], None], count: int
) -> None:
    process = psutil.Process(house.process.pid)
    _answers_all(house)
    memory, files = process.memory_info().rss, process.num_fds()
    with _connections(house, count) as several:
        for connection in several:
            begin(connection)
        # Connections of before may still be closing.
        eventually(lambda: process.num_fds() >= files + count - _CLOSING, 30)
        _answers_all(house)
        assert process.memory_info().rss - memory < 100 * MEGABYTE
    eventually(lambda: process.num_fds() < files + _CLOSING, 60)
    _answers_all(house)


@pytest.mark.slow
def test_half_a_head_is_not_waited_for_without_end(house: House) -> None:
    process = psutil.Process(house.process.pid)
    files = process.num_fds()
    with _connections(house, HUNDREDS) as several:
        for connection in several:
            _half_a_head(connection)
        received = [connection.recv(4096) for connection in several]
        assert {one.partition(b"\r\n")[0] for one in received} == {b"HTTP/1.1 408 Request Timeout"}
        eventually(lambda: process.num_fds() < files + _CLOSING, 30)


@contextmanager
def _connections(house: House, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        port = house.http.base_url.port or 80
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=90)) for _ in range(count)]


def _answers_all(house: House) -> None:
    """Ask on new connections: each is answered at once, from bytes and by the app."""
    for _ in range(10):
        for path in ("/v1/forecasts/latest", "/v1/series"):
            response = httpx.get(house.http.base_url.join(path), timeout=30)
            assert response.status_code == 200, response.text
