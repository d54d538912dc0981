"""Live scores from the database against a plain calculation on the same forecasts."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series, from_datetime64
from candlecast.evaluation import newey_west_variance, skill_interval
from candlecast.forecast import INTERVALS, LEVELS, Forecast
from candlecast.store import candles as candle_store
from candlecast.store import ledger, live, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.live import METRICS, NONE_YET, WINDOWS, LiveScore
from candlecast.store.proof import Proof
from tests.making import make_candles

BTC, ETH = Series.parse("replay:BTC-USDT:1h"), Series.parse("replay:ETH-USDT:1h")
STEP = Interval.H1.delta
CANDLES = {BTC: make_candles(900, Interval.H1), ETH: make_candles(900, Interval.H1, seed=2)}
END = CANDLES[BTC].cutoff


@dataclass(frozen=True, slots=True)
class Row:
    """A champion's forecast beside the baseline's, and what came."""

    target_time: datetime
    ours: Forecast
    naive: Forecast
    realised: float


def forecast(candles: Candles, place: int, horizon: int, seed: int, opinion: bool) -> Forecast:
    """Return a forecast that knows something of what comes."""
    random = np.random.default_rng([seed, place, horizon])
    last = float(candles.close[place])
    came = float(candles.close[min(place + horizon, len(candles) - 1)])
    close = last + (0.3 * (came - last) if opinion else 0.0) + random.normal(0, 0.01)
    cutoff = from_datetime64(candles.close_time[place])
    spread = 0.001 * (1 + horizon) * last
    return Forecast(
        cutoff=cutoff,
        horizon=horizon,
        target_time=cutoff + horizon * STEP,
        last_close=last,
        close=close,
        quantiles=tuple(close + spread * (level - 0.5) * (3 if opinion else 4) for level in LEVELS),
        p_up=float(random.uniform()) if opinion else None,
    )


def said(series: Series, horizon: int, seed: int = 7) -> list[Row]:
    candles = CANDLES[series]
    return [
        Row(
            one.target_time,
            one,
            forecast(candles, place, horizon, seed, opinion=False),
            float(candles.close[place + horizon]),
        )
        for place in range(100, 900 - horizon)
        for one in [forecast(candles, place, horizon, seed, opinion=True)]
    ]


def write(database: Database, series: Series, rows: Sequence[Row], model_version: str = "better") -> None:
    entries = [Entry(row.naive, models.NAIVE, "baseline", row.naive.cutoff) for row in rows]
    entries += [Entry(row.ours, model_version, "champion", row.ours.cutoff) for row in rows]
    with database.begin() as connection:
        ledger.record(connection, series, entries)


@pytest.fixture
def known(database: Database) -> Database:
    with database.begin() as connection:
        models.register_naive(connection)
        for name in ("better", "other"):
            version = models.Version(name, "xgboost", "replay", Interval.H1, END, {}, None, None)
            models.register(connection, version, {}, [])
        for series, candles in CANDLES.items():
            candle_store.upsert(connection, series, candles, source="replay", now=END)
    return database


def scores(database: Database, horizon: int, end: datetime = END) -> dict[str, dict[str, LiveScore]]:
    with database.begin() as connection:
        return live.scores(connection, BTC, horizon, end)


def pinball(one: Forecast, realised: float) -> float:
    said = zip(LEVELS, one.quantiles, strict=True)
    return sum(max(level * (realised - q), (level - 1) * (realised - q)) for level, q in said) / len(LEVELS)


def covered(percent: int) -> Callable[[Row], tuple[float, float]]:
    def part(row: Row) -> tuple[float, float]:
        lower, upper = row.ours.interval(percent)
        return float(lower <= row.realised <= upper), 1

    return part


def direction(row: Row) -> tuple[float, bool]:
    assert row.ours.p_up is not None
    return row.ours.p_up, row.realised > row.ours.last_close


PARTS: dict[str, Callable[[Row], tuple[float, float]]] = {
    "mae": lambda row: (abs(row.ours.close - row.realised), 1),
    "mape": lambda row: (abs(row.ours.close - row.realised) / row.realised, 1),
    "skill": lambda row: (abs(row.ours.close - row.realised), abs(row.naive.close - row.realised)),
    "pinball": lambda row: (pinball(row.ours, row.realised), 1),
    "pinball_skill": lambda row: (pinball(row.ours, row.realised), pinball(row.naive, row.realised)),
    **{f"coverage_{percent}": covered(percent) for percent in INTERVALS},
    "brier": lambda row: ((direction(row)[0] - direction(row)[1]) ** 2, 1),
    "accuracy": lambda row: (float((direction(row)[0] > 0.5) == direction(row)[1]), 1),
}


def expected(rows: Sequence[Row], metric: str, horizon: int) -> LiveScore:
    parts = np.array([PARTS[metric](row) for row in rows]).reshape(-1, 2)
    ratio = parts[:, 0].sum() / parts[:, 1].sum()
    value = 1 - ratio if metric.endswith("skill") else ratio
    deviations = (parts[:, 0] - ratio * parts[:, 1]) / parts[:, 1].mean()
    half = 1.959964 * math.sqrt(newey_west_variance(deviations, horizon))
    if len(rows) < 100:
        return LiveScore(value, None, None, len(rows))
    return LiveScore(value, value - half, value + half, len(rows))


def same(found: LiveScore, wanted: LiveScore) -> bool:
    def close(a: float | None, b: float | None) -> bool:
        return a is b is None or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))

    bounds = (close(getattr(found, name), getattr(wanted, name)) for name in ("value", "lower", "upper"))
    return found.count == wanted.count and all(bounds)


@pytest.mark.parametrize("horizon", [1, 5])
def test_every_window_and_metric_is_what_the_rows_say(known: Database, horizon: int) -> None:
    rows = said(BTC, horizon)
    write(known, BTC, rows)
    write(known, BTC, said(BTC, 6 - horizon))
    found = scores(known, horizon)
    assert list(found) == list(WINDOWS)
    for window, length in WINDOWS.items():
        inside = [row for row in rows if END - length < row.target_time <= END]
        assert len(inside) == length / STEP
        for metric in METRICS:
            wanted = expected(inside, metric, horizon)
            assert same(found[window][metric], wanted), (window, metric, found[window][metric], wanted)


def test_the_headline_is_the_skill_of_evaluation(known: Database) -> None:
    rows = said(BTC, 5)
    write(known, BTC, rows)
    inside = [row for row in rows if row.target_time > END - WINDOWS["30d"]]
    ours = np.array([abs(row.ours.close - row.realised) for row in inside])
    naive = np.array([abs(row.naive.close - row.realised) for row in inside])
    with known.begin() as connection:
        found = live.headline(connection, BTC, 5, END)
    assert same(found, LiveScore(*skill_interval(ours, naive, 5), len(inside)))
    assert found == scores(known, 5)["30d"]["skill"]
    assert found.value is not None
    assert found.value > 0.1


def test_the_headlines_of_several_series_are_those_of_each_alone(known: Database) -> None:
    write(known, BTC, said(BTC, 5))
    write(known, ETH, said(ETH, 5, seed=8))
    silent = Series.parse("replay:SOL-USDT:15m")
    ends = {BTC: END, ETH: END - timedelta(days=3), silent: END}
    with known.begin() as connection:
        found = live.headlines(connection, ends, 5)
        alone = {one: live.scores(connection, one, 5, end)["30d"]["skill"] for one, end in ends.items()}
    assert all(same(found[one], alone[one]) for one in ends)
    assert found[BTC].value != found[ETH].value
    assert found[silent] == live.NONE_YET


def test_challengers_are_scored_apart_from_champions(known: Database) -> None:
    rows = said(BTC, 1)
    write(known, BTC, rows)
    apart = said(BTC, 1, seed=8)
    with known.begin() as connection:
        ledger.record(connection, BTC, [Entry(row.ours, "other", "challenger", row.ours.cutoff) for row in apart])
        found = live.scores(connection, BTC, 1, END, role="challenger")
    inside = [row for row in apart if row.target_time > END - WINDOWS["7d"]]
    assert same(found["7d"]["mae"], expected(inside, "mae", 1))
    assert found["7d"]["mae"] != scores(known, 1)["7d"]["mae"]


def test_a_window_ends_where_it_is_told_and_looks_no_further(known: Database) -> None:
    rows = said(BTC, 1)
    write(known, BTC, rows)
    end = END - timedelta(days=3)
    inside = [row for row in rows if end - WINDOWS["7d"] < row.target_time <= end]
    assert same(scores(known, 1, end)["7d"]["mae"], expected(inside, "mae", 1))


def test_of_two_champions_at_one_cutoff_the_later_counts(known: Database) -> None:
    rows, others = said(BTC, 1), said(BTC, 1, seed=8)
    write(known, BTC, rows)
    write(known, BTC, others[-50:], "other")
    inside = [*rows[:-50], *others[-50:]][-720:]
    # The baseline has one row at each cutoff: the first that was written.
    inside = [replace(row, naive=first.naive) for row, first in zip(inside, rows[-720:], strict=True)]
    for metric in ("mae", "skill"):
        assert same(scores(known, 1)["30d"][metric], expected(inside, metric, 1))


def test_a_candle_that_never_came_is_left_out(known: Database) -> None:
    rows = said(BTC, 1)
    write(known, BTC, rows)
    gone = rows[-3].target_time - STEP
    with known.begin() as connection:
        connection.execute(text("DELETE FROM candle WHERE open_time = :time"), {"time": gone})
    inside = [row for row in rows[-168:] if row != rows[-3]]
    assert same(scores(known, 1)["7d"]["brier"], expected(inside, "brier", 1))


def test_a_close_that_did_not_change_says_nothing_about_direction(known: Database) -> None:
    rows = said(BTC, 1)
    rows[-1] = replace(rows[-1], ours=replace(rows[-1].ours, last_close=rows[-1].realised))
    rows[-2] = replace(rows[-2], ours=replace(rows[-2].ours, p_up=None))
    write(known, BTC, rows)
    found = scores(known, 1)["7d"]
    assert same(found["accuracy"], expected(rows[-168:-2], "accuracy", 1))
    assert found["mae"].count == 168


def test_nothing_said_is_nothing_scored(known: Database) -> None:
    assert set(scores(known, 1)["30d"].values()) == {NONE_YET}
    write(known, BTC, said(BTC, 1))
    assert set(scores(known, 1, END - timedelta(days=100))["1h"].values()) == {NONE_YET}


def test_several_series_count_once_per_cutoff(known: Database) -> None:
    both = {series: said(series, 1) for series in CANDLES}
    for series, rows in both.items():
        write(known, series, rows)
    with known.begin() as connection:
        found = live.pooled_skill(connection, list(CANDLES), 1, END, WINDOWS["7d"])
    ours, naive = (
        np.array(
            [
                np.mean([abs(getattr(row, who).close - row.realised) / row.ours.last_close for row in pair])
                for pair in zip(*(rows[-168:] for rows in both.values()), strict=True)
            ]
        )
        for who in ("ours", "naive")
    )
    assert same(found, LiveScore(*skill_interval(ours, naive, 1), 168))


def verify(environment: dict[str, str]) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "candlecast.store", "verify-ledger"]
    ran = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    return ran.returncode, json.loads(ran.stdout)


def test_the_command_recomputes_the_chain_and_the_scores(known: Database, environment: dict[str, str]) -> None:
    rows = said(BTC, 5)
    write(known, BTC, rows)
    write(known, ETH, said(ETH, 1)[-20:])
    code, answer = verify(environment)
    assert (code, answer["intact"], answer["rows"]) == (0, True, 2 * len(rows) + 40)
    first, second = answer["scores"]
    assert (first["series"], first["horizon"], first["count"], first["holds"]) == (str(BTC), 5, 720, True)
    inside = [row for row in rows if row.target_time > END - WINDOWS["30d"]]
    assert same(
        LiveScore(*(first[name] for name in ("value", "lower", "upper", "count"))), expected(inside, "skill", 5)
    )
    assert (second["series"], second["count"], second["lower"], second["holds"]) == (str(ETH), 20, None, True)
    with known.begin() as connection:
        connection.execute(text("ALTER TABLE forecast DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE forecast SET close = close * 1.001 WHERE position = 11"))
        number = candle_store.series_id(connection, BTC)
    code, answer = verify(environment)
    assert (code, answer["intact"], answer["broken_at"]) == (65, False, f"{number}#11")


@pytest.mark.parametrize("changed", [{"value": 0.1001}, {"lower": None}, {"count": 101}])
def test_a_score_that_does_not_follow_from_the_rows_does_not_hold(changed: dict[str, Any]) -> None:
    shown = LiveScore(0.1, 0.05, 0.15, 100)
    assert Proof(BTC, 1, shown, shown).holds
    assert not Proof(BTC, 1, replace(shown, **changed), shown).holds
