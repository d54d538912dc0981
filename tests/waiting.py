"""Wait for what another process will do: look again until a deadline, never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
import pytest

T = TypeVar("T")

_PAUSE = 0.05


def eventually(check: Callable[[], T | None], seconds: float = 60) -> T:
    """Return what `check` returns as soon as that is true; fail after `seconds` with what it said last.

    A failed assertion or a broken connection inside `check` means "not yet".
    """
    end = time.monotonic() + seconds
    while True:
        last: object
        try:
            found = check()
            if found:
                return found
            last = found
        except (AssertionError, httpx.TransportError) as error:
            last = error
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} seconds; last: {last!r}")
        time.sleep(_PAUSE)
