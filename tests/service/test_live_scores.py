"""How what was said live has done, over HTTP, beside a script that knows nothing of this project."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from candlecast.store import ledger, models
from candlecast.store.ledger import Entry
from tests.making import make_forecast
from tests.programs import ROOT
from tests.service.house import NOON, SCORED, SHORT, WORLD, House, set_clock
from tests.waiting import eventually

CANDLES = WORLD[SCORED]
STEP = SCORED.interval.delta
SPOKEN = 300
"""Cutoffs before the newest candle at which a champion and the baseline spoke."""


def entries() -> Iterator[Entry]:
    """Yield what both said; the champion knows a little of what comes."""
    close = CANDLES.close.tolist()
    for ahead in range(SPOKEN, 0, -1):
        cutoff = CANDLES.cutoff - ahead * STEP
        for horizon in (1, 5):
            last, came = close[-1 - ahead], close[min(-1, horizon - 1 - ahead)]
            naive = replace(make_forecast(cutoff, SCORED.interval, horizon, last), last_close=last)
            ours = make_forecast(cutoff, SCORED.interval, horizon, close=last + 0.1 * (came - last))
            yield Entry(naive, models.NAIVE, "baseline", cutoff)
            yield Entry(replace(ours, last_close=last), "live", "champion", cutoff)


@pytest.fixture(scope="module")
def spoken(house: House) -> House:
    version = models.Version("live", "xgboost", None, None, NOON, {}, None, None)
    with house.database.begin() as connection:
        models.register(connection, version, {}, [])
        ledger.record(connection, SCORED, list(entries()))
    # The clock is news, so every series speaks, and is scored, again.
    set_clock(house.database, NOON)
    eventually(lambda: house.latest(SCORED, 5)["live_skill"]["scored"] == SPOKEN - 4)
    return house


def exported(house: House, folder: Path) -> tuple[Path, Path]:
    """Save the ledger and the candles of the series as the API gives them."""
    files = folder / "ledger.csv", folder / "candles.csv"
    parts = [
        house.http.get("/v1/forecasts", params={"series": str(SCORED), "role": role, "horizon": h, "format": "csv"})
        for role in ("champion", "baseline")
        for h in (1, 5)
    ]
    head, *_ = parts[0].text.splitlines()
    files[0].write_text("\n".join([head, *(line for part in parts for line in part.text.splitlines()[1:])]))
    files[1].write_text(house.http.get("/v1/candles", params={"series": str(SCORED), "format": "csv"}).text)
    return files


@pytest.mark.parametrize("horizon", [1, 5])
def test_live_skill_is_what_an_independent_script_finds_in_the_exports(
    spoken: House, tmp_path: Path, horizon: int
) -> None:
    ledger_file, candle_file = exported(spoken, tmp_path)
    script = [sys.executable, "-I", str(ROOT / "tests" / "independent_skill.py")]
    ran = subprocess.run(
        [*script, str(ledger_file), str(candle_file), str(horizon), str(SCORED.interval.seconds)],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found = json.loads(ran.stdout)
    assert found["count"] == SPOKEN + 1 - horizon
    shown = spoken.latest(SCORED, horizon)["live_skill"]
    assert shown["scored"] == found["count"]
    window = windows(spoken, horizon)["30d"]["scores"]["skill"]
    for name in ("skill", "lower", "upper"):
        assert math.isclose(shown[name], found[name], rel_tol=1e-9), name
        assert math.isclose(window["value" if name == "skill" else name], found[name], rel_tol=1e-9), name
    assert found["skill"] > 0.05


def windows(house: House, horizon: int = 1, series: str = str(SCORED)) -> dict[str, dict[str, Any]]:
    answer = house.get("/v1/live-scores", series=series, horizon=horizon)
    assert (answer["series"], answer["horizon"], answer["minimum"]) == (series, horizon, 100)
    return {window["window"]: window for window in answer["windows"]}


def test_windows_end_with_the_newest_candle_and_count_what_lies_inside(spoken: House) -> None:
    found = windows(spoken)
    lengths = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
    assert list(found) == list(lengths)
    for name, length in lengths.items():
        start, end = (datetime.fromisoformat(found[name][bound]) for bound in ("start", "end"))
        assert (start, end) == (CANDLES.cutoff - length, CANDLES.cutoff)
    assert [window["scores"]["mae"]["count"] for window in found.values()] == [4, 96, SPOKEN, SPOKEN]
    assert found["24h"]["scores"]["mae"]["value"] > 0
    assert found["24h"]["scores"]["mae"]["lower"] is None, "too early"
    assert set(found["30d"]["scores"]) == {
        *("mae", "mape", "skill", "pinball", "pinball_skill", "coverage_80", "coverage_95", "brier", "accuracy")
    }


def test_the_evaluations_of_a_series_say_the_same(spoken: House) -> None:
    live = spoken.get("/v1/evaluations", series=str(SCORED))["live"]
    assert live == {str(horizon): spoken.latest(SCORED, horizon)["live_skill"] for horizon in (1, 5)}


def test_where_nobody_spoke_there_are_no_scores(house: House) -> None:
    scores = windows(house, 3, str(SHORT))["30d"]["scores"]
    assert {(one["value"], one["count"]) for one in scores.values()} == {(None, 0)}


def test_an_unknown_series_is_a_problem(house: House) -> None:
    response = house.http.get("/v1/live-scores", params={"series": "replay:DOGE-USDT:4h"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_series")
