"""`make smoke` believes an honest service, and catches one that lies."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.programs import ROOT
from tests.service.house import House
from tests.service.proxy import proxying

Alter = Callable[[bytes], bytes]


def _smoke(url: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    command = [sys.executable, "-m", "tools.smoke", url]
    return subprocess.run(command, env=clean, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_an_honest_service_passes(house: House) -> None:
    ran = _smoke(str(house.http.base_url))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(re.findall(r"^ok  ", ran.stdout, re.MULTILINE)) == 7


def _replaced(old: bytes, new: bytes) -> Alter:
    def alter(body: bytes) -> bytes:
        assert re.search(old, body), "the lie finds its place"
        return re.sub(old, new, body)

    return alter


@pytest.mark.parametrize(
    ("path", "alter", "caught"),
    [
        (r"/v1/status$", _replaced(rb'"ledger_intact":(true|null)', b'"ledger_intact":false'), "the ledger is broken"),
        (r"forecasts/latest$", _replaced(rb'"last_close":(\d)', rb'"last_close":1\1'), "says last_close"),
        (r"forecasts/latest$", _replaced(rb'"cutoff":"2025', b'"cutoff":"2024'), "is not in the ledger"),
        (r"forecasts/latest$", _replaced(rb'"reason":"\w+"', b'"reason":null'), "abstains without a reason"),
        (r"coverage", _replaced(rb'"stored":(\d+)', rb'"stored":1\1'), "coverage of"),
        (r"/v1/candles.*format=csv", _replaced(rb"\n(\d+),", rb"\n\1,9"), "differ between JSON and csv"),
        (r"/v1/forecasts\?.*format=csv", _replaced(rb'"naive"', b'"other"'), "differs between JSON and csv"),
        (r"/forecast$", _replaced(rb'"last_close":', b'"last_close":1'), "/forecast does not answer"),
        (r"/v1/nothing", _replaced(rb'"code":"not_found"', b'"code":"lost"'), "an address that is none is answered"),
        (r"/docs/errors", _replaced(rb'id="unknown_series"', b""), "does not explain unknown_series"),
    ],
)
def test_a_lie_is_caught_and_named(house: House, path: str, alter: Alter, caught: str) -> None:
    def lie(asked: str, body: bytes) -> bytes:
        return alter(body) if re.search(path, asked) else body

    with proxying(str(house.http.base_url), "", strips=False, alter=lie) as proxy:
        ran = _smoke(proxy.url)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert caught in ran.stderr


def test_nobody_at_the_address_is_a_temporary_error() -> None:
    assert _smoke("http://127.0.0.1:1").returncode == 75
