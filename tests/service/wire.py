"""Requests and answers as the bytes that they are, for what no HTTP client would send."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.service.house import House


def talk(house: House, sent: bytes, patience: float = 20) -> bytes:
    """Send bytes on a connection of their own; return all that comes back until the service closes it."""
    with socket.create_connection(("127.0.0.1", house.http.base_url.port or 80), timeout=patience) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def status_of(received: bytes) -> int:
    """Return the status of an answer."""
    return int(received.split(b" ", 2)[1])


def problem_of(received: bytes) -> Any:
    """Return the problem that an answer is."""
    head, _, content = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return json.loads(content)
