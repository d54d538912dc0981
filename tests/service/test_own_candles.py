"""POST /v1/forecasts: a caller's own candles, right and wrong in every way."""

import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from candlecast import api
from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval
from candlecast.forecast import LEVELS
from tests.making import make_candles
from tests.service.house import BTC, House, body

CANDLES = make_candles(560, Interval.M15, seed=11)
"""No champion has this interval, so the baseline answers."""

Body = dict[str, Any]


def _post(house: House, content: Body) -> httpx.Response:
    # Not httpx's own json=: that refuses NaN, which Python's JSON reads.
    return house.http.post("/v1/forecasts", content=json.dumps(content), headers={"content-type": "application/json"})


def _forecasts(house: House, content: Body) -> list[dict[str, Any]]:
    response = _post(house, content)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["forecasts"]
    return found


def test_own_candles_get_what_the_baseline_says_of_them(house: House) -> None:
    found = _forecasts(house, body(CANDLES))
    for answer, said in zip(found, NaiveForecaster([1, 5]).forecast(None, CANDLES), strict=True):
        assert (answer["status"], answer["model_version"]) == ("baseline", "naive")
        assert answer["horizon"] == said.horizon
        assert datetime.fromisoformat(answer["cutoff"]) == said.cutoff == CANDLES.cutoff
        assert datetime.fromisoformat(answer["target_time"]) == said.target_time
        assert answer["last_close"] == said.last_close == CANDLES.close[-1]
        assert answer["point"]["close"] == said.close
        assert list(answer["quantiles"].values()) == list(said.quantiles)
        assert list(answer["quantiles"]) == [f"{level:g}" for level in LEVELS]


def test_nothing_of_it_is_written_into_the_ledger(house: House) -> None:
    before = house.get("/v1/status")["ledger_rows"]
    _forecasts(house, body(CANDLES[-512:], series="replay:NEW-USDT:15m"))
    assert house.get("/v1/status")["ledger_rows"] == before
    assert "replay:NEW-USDT:15m" not in {one["series"] for one in house.get("/v1/series")["series"]}


def test_last_n_is_n_single_requests(house: House) -> None:
    together = _forecasts(house, body(CANDLES, last=4, horizons=[5]))
    single = [_forecasts(house, body(CANDLES[: len(CANDLES) - back], horizons=[5]))[0] for back in (3, 2, 1, 0)]
    assert together == single


def test_only_the_window_counts(house: House) -> None:
    assert _forecasts(house, body(CANDLES)) == _forecasts(house, body(CANDLES[-512:]))


def _changed(column: str, row: int, value: object) -> Callable[[Body], None]:
    def change(content: Body) -> None:
        content["candles"][column][row] = value

    return change


def _reverse(content: Body) -> None:
    for column in content["candles"].values():
        column.reverse()


def _drop_row(row: int) -> Callable[[Body], None]:
    def change(content: Body) -> None:
        for column in content["candles"].values():
            del column[row]

    return change


def _keep(count: int) -> Callable[[Body], None]:
    def change(content: Body) -> None:
        for name in content["candles"]:
            content["candles"][name] = content["candles"][name][:count]

    return change


def _with(**more: object) -> Callable[[Body], None]:
    def change(content: Body) -> None:
        content.update(more)

    return change


def _rename(content: Body) -> None:
    content["candles"]["adj_close"] = content["candles"].pop("close")


def _shorten(content: Body) -> None:
    content["candles"]["low"].pop()


def _off_grid(content: Body) -> None:
    content["candles"]["open_time"] = [time + 1000 for time in content["candles"]["open_time"]]


@pytest.mark.parametrize(
    ("spoil", "status", "code", "named"),
    [
        pytest.param(_reverse, 422, "invalid_candles", "open_time of row 1, open_time", id="reversed"),
        pytest.param(_drop_row(500), 422, "gap_in_window", "1 candles are missing from 2025-09-06 05:00", id="gap"),
        pytest.param(_changed("high", 7, 1.0), 422, "invalid_candles", "high of row 7, open_time", id="high below low"),
        pytest.param(_changed("low", 7, 1e9), 422, "invalid_candles", "low of row 7, open_time", id="low above high"),
        pytest.param(_changed("close", 8, float("nan")), 422, "invalid_candles", "close of row 8, open_time", id="NaN"),
        pytest.param(_changed("volume", 9, float("inf")), 422, "invalid_candles", "volume of row 9", id="infinite"),
        pytest.param(_changed("volume", 9, -0.5), 422, "invalid_candles", "volume of row 9", id="negative volume"),
        pytest.param(_changed("low", 3, -1.0), 422, "invalid_candles", "low of row 3, open_time", id="negative"),
        pytest.param(_changed("close", 3, "101.5"), 422, "invalid_request", "body.candles.close.3", id="quoted"),
        pytest.param(_changed("close", 3, True), 422, "invalid_request", "body.candles.close.3", id="truth"),
        pytest.param(
            _changed("close", 3, 10**400), 422, "invalid_candles", "close of row 3, open_time", id="huge price"
        ),
        pytest.param(_changed("open_time", 3, 1.5), 422, "invalid_request", "body.candles.open_time.3", id="half time"),
        pytest.param(_with(last="1"), 422, "invalid_request", "body.last", id="last as text"),
        pytest.param(_with(last=5001), 422, "invalid_request", "body.last", id="last beyond all"),
        pytest.param(_with(calendar="lunar"), 422, "invalid_request", "body.calendar", id="calendar"),
        pytest.param(_with(calendar="weekdays"), 400, "usage_error", "is for candles of 1d, not of 15m", id="weekdays"),
        pytest.param(_changed("close", 3, None), 422, "invalid_request", "body.candles.close.3", id="null"),
        pytest.param(_changed("close", 3, "high"), 422, "invalid_request", "body.candles.close.3", id="text"),
        pytest.param(_changed("open_time", 0, 10**30), 422, "invalid_candles", "open_time", id="huge time"),
        pytest.param(_changed("open_time", 559, 10**17), 422, "invalid_candles", "row 559", id="time after 9999"),
        pytest.param(_off_grid, 422, "invalid_candles", "row 0, open_time", id="off the grid"),
        pytest.param(_shorten, 422, "invalid_candles", "columns differ in length", id="columns differ"),
        pytest.param(_keep(49), 422, "not_enough_candles", "have 49 candles, need 50", id="too few"),
        pytest.param(_keep(0), 422, "not_enough_candles", "have 0 candles, need 50", id="none"),
        pytest.param(_with(last=560), 422, "not_enough_candles", "have 560 candles, need 609", id="last too far"),
        pytest.param(_with(last=0), 422, "invalid_request", "body.last", id="last 0"),
        pytest.param(_with(horizons=[0]), 422, "invalid_request", "body.horizons.0", id="horizon 0"),
        pytest.param(_with(horizons=[]), 422, "invalid_request", "body.horizons", id="no horizon"),
        pytest.param(_with(horizons=[2]), 400, "usage_error", "horizon 2 is not served; served are 1, 5", id="horizon"),
        pytest.param(_with(interval="7m"), 400, "usage_error", "unknown interval '7m'", id="unknown interval"),
        pytest.param(_with(interval="1h"), 422, "invalid_candles", "row 1, open_time", id="wrong interval"),
        pytest.param(_with(series="BTC"), 404, "unknown_series", "'BTC' is no series", id="no series"),
        pytest.param(_with(series=str(BTC)), 400, "usage_error", f"{BTC} does not have the interval", id="series"),
        pytest.param(_with(extra=1), 422, "invalid_request", "body.extra", id="unknown field"),
        pytest.param(_rename, 422, "invalid_request", "body.candles.close", id="wrong column"),
    ],
)
def test_wrong_candles_get_a_problem_that_names_the_thing(
    house: House, spoil: Callable[[Body], None], status: int, code: str, named: str
) -> None:
    content = body(CANDLES)
    spoil(content)
    _expect_problem(_post(house, content), status, code, named)


def _naming_twice(content: Body, name: str) -> bytes:
    """Return the body with one of its fields at the beginning once more; all of it is right but for that."""
    written = json.dumps(content)
    return written.replace("{", f'{{"{name}": {json.dumps(content[name])}, ', 1).encode()


@pytest.mark.parametrize("field", ["interval", "last", "candles"])
def test_a_field_that_is_named_twice_is_refused_whatever_it_says(house: House, field: str) -> None:
    content = _naming_twice(body(CANDLES, last=2), field)
    response = house.http.post("/v1/forecasts", content=content, headers={"content-type": "application/json"})
    _expect_problem(response, 400, "not_json", f"names the field {field!r} more than once")


def test_a_column_that_is_named_twice_is_refused(house: House) -> None:
    content = json.dumps(body(CANDLES)).replace('"low"', '"low": [], "low"').encode()
    response = house.http.post("/v1/forecasts", content=content, headers={"content-type": "application/json"})
    _expect_problem(response, 400, "not_json", "names the field 'low' more than once")


def test_text_with_escapes_means_what_it_means_without(house: House) -> None:
    escaped = json.dumps(body(CANDLES, series="replay:NEW-USDT:15m")).replace("NEW-USDT", "N\\u0045W\\u002dUSDT")
    response = house.http.post("/v1/forecasts", content=escaped, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    assert response.json() == _post(house, body(CANDLES, series="replay:NEW-USDT:15m")).json()


def test_an_answer_in_pieces_is_the_answer_in_one(house: House) -> None:
    candles = make_candles(1100, Interval.M15, seed=12)
    response = _post(house, body(candles, last=450, horizons=[1]))
    found = api.ComputedForecasts.model_validate_json(response.content).forecasts
    said = NaiveForecaster([1]).forecast(None, candles, 450)
    assert [one.cutoff for one in found] == [one.cutoff for one in said]
    assert [list(one.quantiles.values()) for one in found] == [list(one.quantiles) for one in said]
    assert json.loads(response.content) == json.loads(
        api.ComputedForecasts.model_dump_json(api.ComputedForecasts.model_validate_json(response.content))
    )


@pytest.mark.parametrize(("last", "need"), [(250, 299), (5000, 5049)])
def test_of_an_answer_in_pieces_it_is_told_what_the_whole_needs(house: House, last: int, need: int) -> None:
    content = body(CANDLES[:240], last=last)
    _expect_problem(_post(house, content), 422, "not_enough_candles", f"have 240 candles, need {need}")


def test_too_many_candles_are_too_large(house: House) -> None:
    columns = {name: [1] * 100_000 for name in ("open", "high", "low", "close", "volume")}
    times = (np.arange(100_000) * Interval.M15.milliseconds).tolist()
    content = {"interval": "15m", "candles": {"open_time": times, **columns}}
    _expect_problem(_post(house, content), 413, "too_large", "100000 candles are too many; send at most 20000")


@pytest.mark.parametrize(
    ("content", "status", "code", "named"),
    [
        pytest.param(b"{'interval': '15m'}", 400, "not_json", "the body is not JSON", id="not JSON"),
        pytest.param(b'{"interval": "15m"', 400, "not_json", "the body is not JSON", id="cut"),
        pytest.param(b"\xff\xfe\x00", 400, "not_json", "the body is not JSON", id="not text"),
        pytest.param(b"[" * 100_000, 400, "not_json", "the body is not JSON", id="too deep"),
        pytest.param(b"", 400, "not_json", "the body is not JSON", id="empty"),
        pytest.param('{"interval": "15m"}'.encode("utf-16"), 400, "not_json", "the body is not JSON", id="UTF-16"),
        pytest.param(b'{"last": 1' + b"0" * 5000 + b"}", 400, "not_json", "the body is not JSON", id="long number"),
        pytest.param(b'{"last": 1, "last": 2}', 400, "not_json", "names the field 'last' more than once", id="twice"),
        pytest.param(b"[]", 422, "invalid_request", "body", id="a list"),
        pytest.param(b"null", 422, "invalid_request", "body", id="null"),
        pytest.param(b" " * 8_000_001, 413, "too_large", "the body is larger than 8000000 bytes", id="huge"),
    ],
)
def test_what_is_no_request_gets_a_problem(house: House, content: bytes, status: int, code: str, named: str) -> None:
    response = house.http.post("/v1/forecasts", content=content, headers={"content-type": "application/json"})
    _expect_problem(response, status, code, named)


def test_a_huge_body_is_refused_also_when_it_does_not_announce_its_size(house: House) -> None:
    pieces = (b" " * 100_000 for _ in range(81))
    response = house.http.post("/v1/forecasts", content=pieces, headers={"content-type": "application/json"})
    _expect_problem(response, 413, "too_large", "the body is larger than 8000000 bytes")


def test_the_native_endpoint_answers_the_same(house: House) -> None:
    response = house.http.post("/forecast", json=body(CANDLES))
    assert response.status_code == 200, response.text
    assert response.json() == _post(house, body(CANDLES)).json()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(b"{}", "application/json", id="empty"),
        pytest.param(b'{"last": 1, "last": 2}', "application/json", id="twice"),
        pytest.param(b"\xff", "application/json", id="no text"),
        pytest.param(json.dumps(body(CANDLES, last=560)).encode(), "application/json", id="too few"),
        pytest.param(json.dumps(body(CANDLES, horizons=[2])).encode(), "application/json", id="horizon"),
        pytest.param(b" " * 8_000_001, "application/json", id="too large"),
        pytest.param(pickle.dumps(body(CANDLES)), "application/vnd.bentoml+pickle", id="pickle"),
        pytest.param(b"a=1", "multipart/form-data; boundary=x", id="form"),
    ],
)
def test_the_native_endpoint_refuses_the_same_in_the_same_words(house: House, content: bytes, kind: str) -> None:
    own = {"content-type": kind, "x-request-id": "both"}
    native, public = (house.http.post(path, content=content, headers=own) for path in ("/forecast", "/v1/forecasts"))
    assert native.status_code >= 400
    assert (native.status_code, native.json()) == (public.status_code, public.json())
    assert native.headers["content-type"] == "application/problem+json"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's own
def test_a_client_of_bentoml_finds_the_endpoint_and_gets_the_answer(house: House) -> None:
    import bentoml

    with bentoml.SyncHTTPClient(str(house.http.base_url)) as client:
        answer = client.forecast(body(CANDLES))
        assert answer == _post(house, body(CANDLES)).json()
        with pytest.raises(bentoml.exceptions.BentoMLException, match="not_enough_candles"):
            client.forecast(body(CANDLES[:10]))


@pytest.mark.parametrize("path", ["/forecast", "/schema.json", "/readyz", "/static_content/../app.py", "/docs.json"])
def test_what_bentoml_refuses_by_itself_is_a_problem_too(house: House, path: str) -> None:
    response = house.http.put(path)
    assert response.status_code in (404, 405)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code


def _expect_problem(response: httpx.Response, status: int, code: str, named: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert named in problem["detail"]


def test_prices_from_which_no_number_follows_are_refused(house: House) -> None:
    wild = [1e-300, 1e300] * 300
    sent = body(make_candles(600))
    sent["candles"] |= dict.fromkeys(("open", "high", "low", "close"), wild)
    answer = house.http.post("/v1/forecasts", json=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_candles")
    assert "check their prices" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        pytest.param({"content-type": "text/plain"}, b"{}", id="text"),
        pytest.param({"content-type": "application/x-www-form-urlencoded"}, b"{}", id="form"),
        pytest.param({"content-type": "application/json; charset=latin-1"}, b"{}", id="charset"),
        pytest.param({"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(b"{}"), id="gzip"),
        pytest.param({}, b"{}", id="none"),
    ],
)
def test_a_body_of_another_kind_is_refused(house: House, headers: dict[str, str], content: bytes) -> None:
    response = house.http.post("/v1/forecasts", content=content, headers=headers)
    _expect_problem(response, 415, "unsupported_media_type", "send the body")


def _parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink, **options)
    return sink.getvalue()


def _columns(candles: Candles) -> dict[str, Any]:
    return {name: candles.columns()[name] for name in ("open_time", "open", "high", "low", "close", "volume")}


def _post_parquet(house: House, content: bytes, **query: Any) -> httpx.Response:
    headers = {"content-type": "application/vnd.apache.parquet"}
    return house.http.post("/v1/forecasts", params={"interval": "15m", **query}, content=content, headers=headers)


def test_a_parquet_body_gets_what_json_gets(house: House) -> None:
    response = _post_parquet(house, _parquet(_as_utc(_columns(CANDLES))), last=3, horizons=[5])
    assert response.status_code == 200, response.text
    assert response.json()["forecasts"] == _forecasts(house, body(CANDLES, last=3, horizons=[5]))
    numbered = {**_columns(CANDLES), "open_time": CANDLES.open_time.astype(np.int64), "source": ["x"] * len(CANDLES)}
    assert _post_parquet(house, _parquet(numbered), last=3, horizons=[5]).json() == response.json()


def _as_utc(columns: dict[str, Any]) -> dict[str, Any]:
    return {**columns, "open_time": pyarrow.array(columns["open_time"], pyarrow.timestamp("ms", "UTC"))}


def test_an_exported_file_can_be_sent_back(house: House) -> None:
    exported = house.http.get("/v1/candles", params={"series": str(BTC), "format": "parquet"}).content
    response = _post_parquet(house, exported, interval="4h", horizons=[1])
    assert response.status_code == 200, response.text
    assert response.json()["forecasts"][0]["point"] == house.latest(BTC)["point"]


@pytest.mark.parametrize(
    ("content", "query", "status", "code", "named"),
    [
        pytest.param(b"PAR1 not really PAR1", {}, 400, "not_parquet", "no Parquet file", id="no file"),
        pytest.param(b"", {}, 400, "not_parquet", "no Parquet file", id="empty"),
        pytest.param(_parquet({"open_time": [1]}), {}, 400, "not_parquet", "has no column open", id="columns"),
        pytest.param(_parquet(_columns(CANDLES)), {}, 422, "invalid_candles", "with a time zone", id="naive times"),
        pytest.param(
            _parquet({**_as_utc(_columns(CANDLES)), "low": ["1"] * 560}),
            {},
            422,
            "invalid_candles",
            "column low must hold numbers, not string",
            id="text",
        ),
        pytest.param(
            _parquet({**_as_utc(_columns(CANDLES)), "low": [None, *CANDLES.low[1:]]}),
            {},
            422,
            "invalid_candles",
            "low of row 0",
            id="null",
        ),
        pytest.param(
            _parquet(dict.fromkeys(_columns(CANDLES), np.ones(1_000_000, dtype=np.int64))),
            {},
            413,
            "too_large",
            "1000000 candles are too many",
            id="a million rows",
        ),
        pytest.param(
            _parquet(_as_utc(_columns(CANDLES))),
            {"interval": ""},
            400,
            "usage_error",
            "unknown interval ''",
            id="interval",
        ),
        pytest.param(b"", {"last": "0"}, 422, "invalid_request", "query.last", id="last"),
    ],
)
def test_a_wrong_parquet_body_gets_a_problem(
    house: House, content: bytes, query: dict[str, str], status: int, code: str, named: str
) -> None:
    _expect_problem(_post_parquet(house, content, **query), status, code, named)


def test_each_kind_of_body_has_its_own_place_for_options(house: House) -> None:
    headers = {"content-type": "application/vnd.apache.parquet"}
    response = house.http.post("/v1/forecasts", content=b"", headers=headers)
    _expect_problem(response, 400, "usage_error", "needs the query parameter interval")
    response = house.http.post("/v1/forecasts?last=2", json=body(CANDLES))
    _expect_problem(response, 400, "usage_error", "last belongs into the body")


def _trading_days(count: int) -> Candles:
    """Return daily candles of weekdays only; the newest opens on Friday the 5th of September 2025."""
    days = make_candles(2 * count, Interval.D1, start=datetime(2025, 9, 6, tzinfo=UTC) - timedelta(days=2 * count))
    return days[np.array([moment.astype("datetime64[D]").astype(object).weekday() < 5 for moment in days.open_time])]


def test_weekends_are_no_gaps_of_a_market_that_closes(house: House) -> None:
    candles = _trading_days(420)
    response = _post(house, body(candles))
    _expect_problem(response, 422, "gap_in_window", "are missing")
    near, far = _forecasts(house, body(candles, calendar="weekdays"))
    assert near["cutoff"] == "2025-09-06T00:00:00Z", "Friday's close"
    assert near["target_time"] == "2025-09-09T00:00:00Z", "Monday's close"
    assert far["target_time"] == "2025-09-13T00:00:00Z", "the close of the Friday after"
    assert near["last_close"] == candles.close[-1]
    step = np.arange(len(candles)) * candles.interval.step
    counted = replace(candles, open_time=candles.open_time[0] + step)
    (plain, _) = NaiveForecaster([1, 5]).forecast(None, counted)
    assert list(near["quantiles"].values()) == list(plain.quantiles)


def test_of_earlier_trading_days_the_target_is_the_candle_that_came(house: House) -> None:
    candles = _trading_days(420)
    holiday = np.ones(len(candles), dtype=bool)
    holiday[-3] = False
    found = _forecasts(house, body(candles[holiday], calendar="weekdays", last=3, horizons=[1]))
    assert [(one["cutoff"][:10], one["target_time"][:10]) for one in found] == [
        ("2025-09-03", "2025-09-05"),
        ("2025-09-05", "2025-09-06"),
        ("2025-09-06", "2025-09-09"),
    ]
