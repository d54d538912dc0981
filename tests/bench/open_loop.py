"""A caller that adds as little as it can to what it times: `python -m tests.bench.open_loop URL FILE`.

At a given rate the loop is open: a request is sent when its time has come, whether or not those before it were
answered, and its latency counts from that time on. Without one, every connection asks again as soon as it was answered.
One thread that never sleeps, without garbage collections; whoever starts it gives it a core and keeps others off that.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import sys
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import urlsplit

CONNECTIONS = 16

_PATIENCE = 10.0


class _Connection:
    """One kept connection: sends the same request again and again and notes how late each answer was complete."""

    def __init__(self, host: str, port: int, request: bytes, latencies: array[float]) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._request, self._latencies = request, latencies
        self._due: deque[float] = deque()
        self._received = b""
        self._refused = 0

    @property
    def failed(self) -> int:
        """How many requests were not answered, or not with 200."""
        return self._refused + len(self._due)

    def send(self, due: float) -> None:
        """Send the request whose time came at `due`."""
        self._due.append(due)
        self.socket.sendall(self._request)

    def receive(self) -> int:
        """Read what has come; return how many answers it completes. Raise OSError where the server has hung up."""
        piece = self.socket.recv(1 << 16)
        now = perf_counter()
        if not piece:
            raise ConnectionResetError("the server has hung up")
        received, count = self._received + piece, 0
        while size := _size(received):
            self._latencies.append(now - self._due.popleft())
            self._refused += not received.startswith(b"HTTP/1.1 200")
            received = received[size:]
            count += 1
        self._received = received
        return count


def _size(received: bytes) -> int:
    """Return how many bytes the first answer has, 0 where it is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    length = received[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    size = end + 4 + int(length)
    return size if len(received) >= size else 0


class Caller:
    """Some connections that ask one server for one thing. `latencies` are in seconds, in the order of the answers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self.latencies: array[float] = array("d")
        self.away = 0.0
        """Seconds that the caller was kept from its core."""
        self._connections = [_Connection(host, port, request, self.latencies) for _ in range(CONNECTIONS)]
        self._by_file = {one.socket.fileno(): one for one in self._connections}
        self._poll = select.epoll()
        for number in self._by_file:
            self._poll.register(number, select.EPOLLIN)

    @property
    def failed(self) -> int:
        """How many requests were not answered, or not with 200."""
        return sum(one.failed for one in self._connections)

    def ask_again(self, seconds: float) -> None:
        """Ask on every connection as soon as it was answered."""
        begun = perf_counter()
        for one in self._connections:
            one.send(begun)
        while perf_counter() < begun + seconds:
            for number, _ in self._poll.poll(0):
                if self._by_file[number].receive():
                    self._by_file[number].send(perf_counter())

    def ask_at(self, rate: float, seconds: float) -> None:
        """Ask so many times a second, one connection after the other; wait at the end for what is still to come."""
        begun, begun_at = perf_counter(), process_time()
        wanted, sent = round(rate * seconds), 0
        while sent < wanted:
            now = perf_counter()
            while sent < wanted and (due := begun + sent / rate) <= now:
                self._connections[sent % CONNECTIONS].send(due)
                sent += 1
            # Never a pause: a clock that ticks would send in bursts.
            for number, _ in self._poll.poll(0):
                self._by_file[number].receive()
        # It never sleeps: what the clock shows and the processor does not know was not given to it.
        self.away = (perf_counter() - begun) - (process_time() - begun_at)
        while len(self.latencies) < sent and perf_counter() < begun + seconds + _PATIENCE:
            for number, _ in self._poll.poll(0.01):
                self._by_file[number].receive()

    def close(self) -> None:
        """Hang up."""
        self._poll.close()
        for one in self._connections:
            one.socket.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask; write the latencies into a file as doubles, and the rest to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.open_loop", description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("latencies", type=Path)
    parser.add_argument("--rate", type=float, help="requests a second; as many as are answered when left out")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args(arguments)
    with closing(Caller(options.url)) as caller:
        gc.disable()
        if options.rate:
            caller.ask_at(options.rate, options.seconds)
        else:
            caller.ask_again(options.seconds)
    with options.latencies.open("wb") as file:
        caller.latencies.tofile(file)
    found = {"answers": len(caller.latencies), "failed": caller.failed, "away": caller.away / options.seconds}
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
