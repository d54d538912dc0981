"""Bodies that are allowed in size and made to cost: a short answer, in little time and bounded memory."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow
import pytest
from pyarrow import parquet

from tests.service.house import TOKEN, House

JSON = {"content-type": "application/json"}
SIZE = 7_900_000
MEGABYTE = 1_000_000


def _column(name: str, value: bytes) -> bytes:
    """Return a request whose one column is `value` over and over."""
    values = b",".join([value] * (SIZE // (len(value) + 1)))
    return b'{"interval":"15m","candles":{"%s":[%s]}}' % (name.encode(), values)


def _fields() -> Iterator[bytes]:
    """Yield more fields than anybody has, the last of them twice."""
    yield from (b'"%d":1' % number for number in range(500_000))
    yield b'"499999":2'


@pytest.mark.parametrize(
    ("content", "status", "code", "named"),
    [
        pytest.param(_column("open_time", b'"a"'), 422, "invalid_request", "open_time.0: Input", id="strings"),
        pytest.param(_column("close", b"null"), 422, "invalid_request", "body.candles", id="nulls"),
        pytest.param(_column("close", b"[]"), 400, "not_json", "lists and objects", id="lists"),
        pytest.param(_column("close", b"{}"), 400, "not_json", "lists and objects", id="objects"),
        pytest.param(b"{" + b",".join(_fields()) + b"}", 400, "not_json", "500001 fields in one place", id="fields"),
        pytest.param(b'{"interval":"' + b"a" * SIZE + b'"}', 422, "invalid_request", "body.interval", id="one string"),
        pytest.param(
            b'{"interval":"15m","horizons":[' + b"1," * MEGABYTE + b"1]}",
            422,
            "invalid_request",
            "horizons",
            id="horizons",
        ),
    ],
)
def test_a_body_that_is_wrong_all_over_gets_a_short_answer(
    house: House, content: bytes, status: int, code: str, named: str
) -> None:
    response = house.http.post("/v1/forecasts", content=content, headers=JSON)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert named in problem["detail"]
    assert len(response.content) < 2000


def test_who_may_not_change_anything_is_told_so_before_the_body_is_read(house: House) -> None:
    content = _column("close", b"1.5")
    assert house.http.post("/v1/runs", content=content, headers=JSON).status_code == 401
    known = JSON | {"authorization": f"Bearer {TOKEN}"}
    response = house.http.post("/v1/runs", content=content, headers=known)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    many = {"job": "ingestion", "series": ["binance:BTC-USDT:1h"] * 501}
    response = house.http.post("/v1/runs", json=many, headers=known)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def _largest(process: psutil.Process) -> int:
    """Return the most memory that a process has ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NO /proc: peak memory is not tested")
def test_many_large_bodies_at_once_are_answered_or_put_off_in_bounded_memory(house: House) -> None:
    content = _column("close", b"1.5")
    process = psutil.Process(house.process.pid)
    before = _largest(process)

    def ask(_: int) -> tuple[int, str]:
        response = httpx.post(house.http.base_url.join("/v1/forecasts"), content=content, headers=JSON, timeout=120)
        return response.status_code, response.json()["code"]

    with ThreadPoolExecutor(24) as askers:
        found = set(askers.map(ask, range(24)))
    assert found == {(422, "invalid_request"), (503, "temporary_error")}
    assert _largest(process) < before + 500 * MEGABYTE
    assert house.http.post("/v1/forecasts", content=b"{}", headers=JSON).status_code == 422, "none is held any more"


def _unpacking(column: Any) -> bytes:
    sink = io.BytesIO()
    others = {name: ["1"] for name in ("open_time", "high", "low", "close", "volume")}
    parquet.write_table(pyarrow.table({"open": column, **others}), sink, compression="zstd")
    return sink.getvalue()


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(house: House) -> None:
    process = psutil.Process(house.process.pid)
    before = _largest(process)
    content = _unpacking(["\0" * 1000 * MEGABYTE])
    assert len(content) < MEGABYTE
    headers = {"content-type": "application/vnd.apache.parquet"}
    response = house.http.post("/v1/forecasts", params={"interval": "15m"}, content=content, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_candles")
    assert _largest(process) < before + 200 * MEGABYTE
