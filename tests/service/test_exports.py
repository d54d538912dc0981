"""Candles and forecasts in pages and as files."""

import io
from datetime import datetime, timedelta
from itertools import count, takewhile
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import csv, parquet

from tests.service.house import BTC, NOON, WORLD, House

STEP = timedelta(hours=4)
CSV, PARQUET = "text/csv; charset=utf-8", "application/vnd.apache.parquet"


def pages(house: House, path: str, **query: Any) -> list[dict[str, Any]]:
    """Follow `next_end` from page to page; the oldest page comes last."""
    found = [house.get(path, series=str(BTC), **query)]
    for _ in takewhile(lambda _: found[-1]["next_end"], count()):
        found.append(house.get(path, series=str(BTC), **query | {"end": found[-1]["next_end"]}))
    return found


def test_pages_hold_every_candle_once(house: House) -> None:
    start = NOON - 250 * STEP
    found = pages(house, "/v1/candles", last=100, start=start.isoformat())
    times = [moment for page in reversed(found) for moment in page["open_time"]]
    assert [len(page["open_time"]) for page in found] == [100, 100, 50]
    assert times == WORLD[BTC].open_time[-250:].astype(np.int64).tolist()
    assert [len(page["open_time"]) for page in pages(house, "/v1/candles", last=300)] == [300, 300]


def test_pages_hold_every_forecast_once(house: House) -> None:
    whole = house.get("/v1/forecasts", series=str(BTC), last=5000)
    assert whole["next_end"] is None
    found = pages(house, "/v1/forecasts", last=1)
    assert [row for page in reversed(found) for row in page["forecasts"]] == whole["forecasts"]
    assert len(found) == len(whole["forecasts"]) > 0


@pytest.mark.parametrize(
    ("query", "headers", "kind"),
    [
        ({"format": "csv"}, {}, CSV),
        ({"format": "parquet"}, {}, PARQUET),
        ({}, {"accept": "text/csv"}, CSV),
        ({}, {"accept": "application/vnd.apache.parquet, */*;q=0.1"}, PARQUET),
        ({"format": "csv"}, {"accept": "application/vnd.apache.parquet"}, CSV),
        ({"format": "json"}, {"accept": "text/csv"}, "application/json"),
        ({}, {"accept": "*/*"}, "application/json"),
    ],
)
def test_the_query_or_else_accept_says_which_format(
    house: House, query: dict[str, str], headers: dict[str, str], kind: str
) -> None:
    for path in ("/v1/candles", "/v1/forecasts"):
        response = house.http.get(path, params={"series": str(BTC), **query}, headers=headers)
        assert (response.status_code, response.headers["content-type"]) == (200, kind)


def test_a_csv_file_holds_all_candles_and_says_what_it_is(house: House) -> None:
    response = house.http.get("/v1/candles", params={"series": str(BTC), "format": "csv"})
    table = csv.read_csv(io.BytesIO(response.content))
    assert response.content.startswith(b"ts,open,high,low,close,volume,")
    assert response.headers["content-disposition"] == 'attachment; filename="candles-replay-BTC-USDT-4h.csv"'
    assert table["ts"].to_pylist() == WORLD[BTC].open_time.astype(np.int64).tolist()
    assert table["close"].to_pylist() == WORLD[BTC].close.tolist()


def test_a_file_of_forecasts_agrees_with_the_pages(house: House) -> None:
    rows = house.get("/v1/forecasts", series=str(BTC), last=5000)["forecasts"]
    response = house.http.get("/v1/forecasts", params={"series": str(BTC), "format": "parquet"})
    table = parquet.read_table(io.BytesIO(response.content))
    names = ("series", "horizon", "model_version", "role", "last_close", "close", "p_up", "realised_close", "error")
    assert [{name: row[name] for name in names} for row in table.to_pylist()] == [
        {name: row[name] for name in names} for row in rows
    ]
    assert table["cutoff"].to_pylist() == [datetime.fromisoformat(row["cutoff"]) for row in rows]
    late = {"series": str(BTC), "format": "csv", "start": (NOON + STEP).isoformat()}
    assert len(house.http.get("/v1/forecasts", params=late).text.splitlines()) == 1


CANDLES = ("open", "high", "low", "close", "volume")
NUMBERS = ("last_close", "close", "p_up", "realised_close", "error")
TIMES = ("cutoff", "target_time", "issued_at")


def _file(house: House, path: str, kind: str) -> io.BytesIO:
    response = house.http.get(path, params={"series": str(BTC), "format": kind})
    assert response.status_code == 200, response.text
    return io.BytesIO(response.content)


def test_candles_are_the_same_in_pandas_in_pyarrow_and_in_json(house: House) -> None:
    page = house.get("/v1/candles", series=str(BTC), last=5000)
    frame, table = (
        pandas.read_csv(_file(house, "/v1/candles", "csv"), float_precision="round_trip"),
        parquet.read_table(_file(house, "/v1/candles", "parquet")),
    )
    assert frame["ts"].dtype == np.int64
    assert table.schema.field("ts").type == pyarrow.int64()
    assert frame["ts"].tolist() == table["ts"].to_pylist() == page["open_time"]
    for name in CANDLES:
        assert frame[name].dtype == np.float64
        assert table.schema.field(name).type == pyarrow.float64()
        assert frame[name].tolist() == table[name].to_pylist() == page[name]


def test_forecasts_are_the_same_in_pandas_in_pyarrow_and_in_json(house: House) -> None:
    rows = house.get("/v1/forecasts", series=str(BTC), last=5000)["forecasts"]
    frame = pandas.read_csv(_file(house, "/v1/forecasts", "csv"), parse_dates=list(TIMES), float_precision="round_trip")
    table = parquet.read_table(_file(house, "/v1/forecasts", "parquet"))
    assert frame["horizon"].tolist() == table["horizon"].to_pylist() == [row["horizon"] for row in rows]
    for name in TIMES:
        assert str(frame[name].dtype).endswith("UTC]")
        assert table.schema.field(name).type == pyarrow.timestamp("us", "UTC")
        times = [datetime.fromisoformat(row[name]) for row in rows]
        assert frame[name].dt.to_pydatetime().tolist() == table[name].to_pylist() == times
    for name in NUMBERS:
        assert table.schema.field(name).type == pyarrow.float64()
        assert table[name].to_pylist() == [row[name] for row in rows]
        assert frame[name].replace(np.nan, None).tolist() == table[name].to_pylist()


@pytest.mark.parametrize("path", ["/v1/candles", "/v1/forecasts"])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"series": "replay:DOGE-USDT:4h"}, 404, "unknown_series"),
        ({"series": str(BTC), "start": "x"}, 422, "invalid_request"),
    ],
)
def test_a_file_that_cannot_be_made_is_a_problem(
    house: House, path: str, query: dict[str, str], status: int, code: str
) -> None:
    response = house.http.get(path, params={**query, "format": "csv"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert house.http.get(path, params={"series": str(BTC), "format": "xlsx"}).status_code == 422
