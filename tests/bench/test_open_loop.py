"""The caller that keeps its pace whatever the server does."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.bench.open_loop import CONNECTIONS, Caller

RATE, SECONDS = 200, 1.0
STALL, STALLS_AT = 0.4, 50
ANSWER = b"HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nok"


class _Server:
    """Answers every request at once, but for a while none: when so many were answered."""

    def __init__(self, refuses_at: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/?a=b"
        self._refuses_at = refuses_at
        self._answered = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "_Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as files:
            files.register(self.listener, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in files.select(0.1):
                    if key.fileobj is self.listener:
                        files.register(self.listener.accept()[0], selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket):
                        self._answer(key.fileobj)
            for key in list(files.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _answer(self, connection: socket.socket) -> None:
        for _ in range(connection.recv(1 << 16).count(b"\r\n\r\n")):
            self._answered += 1
            if self._answered == STALLS_AT:
                self._over.wait(STALL)
            connection.sendall(ANSWER % (503 if self._answered == self._refuses_at else 200))


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(refuses_at=70) as found:
        yield found


def test_a_stall_makes_every_request_late_whose_time_came_meanwhile(server: _Server) -> None:
    with closing(Caller(server.url)) as caller:
        caller.ask_at(RATE, SECONDS)
    assert len(caller.latencies) == RATE * SECONDS
    late = sum(one > STALL / 4 for one in caller.latencies)
    assert late > 2 * CONNECTIONS, "no connection waits for its answer before it is asked again"
    assert caller.failed == 1
