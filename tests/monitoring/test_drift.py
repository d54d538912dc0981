"""Evidently behind its one function, on real candles."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from candlecast.candles import Floats, Interval, Series
from candlecast.drift import ColumnDrift, DriftSummary, Window
from monitoring.drift import METHOD, compare
from monitoring.thresholds import by_rule_of_thumb, distance
from monitoring.windows import Rows, join, window_rows
from tests.programs import ROOT
from tests.real import real_candles
from tests.shared import requires_shared

START, END = datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 9, 1, tzinfo=UTC)


def _columns(seed: int, size: int, **shift: float) -> dict[str, Floats]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=size) + shift.get(name, 0.0) for name in ("a", "b", "c", "d")}


def _limits(columns: dict[str, Floats]) -> dict[str, float]:
    return dict.fromkeys(columns, 0.1)


@pytest.fixture(scope="module")
def halves() -> tuple[Rows, Rows]:
    """Return the even and the odd days of three real months: the same market twice."""
    whole = []
    for base in ("BTC", "ETH", "SOL"):
        series = Series.parse(f"binance:{base}-USDT:1h")
        candles = real_candles(base, Interval.H1, START, END)
        whole.append(window_rows(series, candles, Window(START, END), None))
    rows = join(whole)
    odd = rows.cutoff.astype("datetime64[D]").astype(np.int64) % 2 == 1
    return rows[~odd], rows[odd]


@requires_shared
def test_the_same_market_twice_has_not_drifted(halves: tuple[Rows, Rows]) -> None:
    reference, current = halves
    summary = compare(reference.columns, current.columns, by_rule_of_thumb(reference).columns)
    assert summary.share <= 0.05, {name: one for name, one in summary.columns.items() if one.drifted}
    assert not summary.drifted
    assert summary.method == METHOD
    assert all(one.score is not None for one in summary.columns.values())


@requires_shared
@pytest.mark.parametrize("name", ["volume_1_12", "volatility_now", "return_0"])
def test_shift_of_one_feature_is_named_and_nothing_else_is(halves: tuple[Rows, Rows], name: str) -> None:
    reference, current = halves
    limits = by_rule_of_thumb(reference).columns
    before = {
        moved for moved, one in compare(reference.columns, current.columns, limits).columns.items() if one.drifted
    }
    planted = current.columns[name] + 1.5 * np.nanstd(reference.columns[name])
    summary = compare(reference.columns, dict(current.columns) | {name: planted}, limits)
    assert {moved for moved, one in summary.columns.items() if one.drifted} == before | {name}
    assert summary.columns[name].score == pytest.approx(1.5, abs=0.2)


def test_scores_are_the_normed_distance_whatever_the_number_of_rows() -> None:
    reference = _columns(1, 500)
    for size in (200, 3000):
        current = _columns(2, size, b=0.5)
        summary = compare(reference, current, _limits(reference))
        for name, one in summary.columns.items():
            assert one.score == pytest.approx(distance(reference[name], current[name]), rel=1e-9)
        assert summary.columns["b"].score == pytest.approx(0.5, abs=0.15)


def test_share_counts_the_drifted_columns() -> None:
    reference = _columns(1, 2000)
    for moved in range(5):
        shift = dict.fromkeys(list("abcd")[:moved], 1.0)
        summary = compare(reference, _columns(2, 2000, **shift), _limits(reference))
        assert summary.share == moved / 4
        assert summary.drifted == (moved >= 2)


@pytest.mark.parametrize("with_page", [False, True])
def test_empty_and_constant_columns_do_not_stop_the_report(with_page: bool) -> None:
    reference, current = _columns(1, 300), _columns(2, 200, a=1.0)
    nothing, constant = np.full(300, np.nan), np.ones(300)
    partly = current["b"].copy()
    partly[::2] = np.nan
    reference |= {"never": nothing, "lost": reference["c"], "flat": constant, "stepped": constant}
    current |= {"b": partly, "never": nothing[:200], "lost": nothing[:200], "flat": constant[:200]}
    current["stepped"] = 2 * constant[:200]
    summary = compare(reference, current, _limits(reference), with_page=with_page)
    assert summary.columns["never"] == summary.columns["lost"] == ColumnDrift(None, 0.1)
    assert summary.columns["flat"].score == 0
    assert summary.columns["stepped"].drifted
    assert summary.columns["a"].drifted
    assert not summary.columns["b"].drifted or (summary.columns["b"].score or 1) < 0.25
    assert summary.share == len([one for one in summary.columns.values() if one.drifted]) / 6
    assert (summary.html is not None) == with_page


def test_nothing_to_compare_is_no_drift() -> None:
    empty = {"a": np.empty(0)}
    summary = compare(empty, empty, {"a": 0.1}, with_page=True)
    assert summary == DriftSummary(METHOD, {"a": ColumnDrift(None, 0.1)})
    assert (summary.share, summary.drifted) == (0, False)


def test_infinite_values_are_left_out() -> None:
    reference, current = {"a": np.arange(100.0)}, {"a": np.append(np.arange(100.0), [np.inf, -np.inf])}
    assert compare(reference, current, {"a": 0.1}).columns["a"].score == pytest.approx(0)


_STRICT = """
import sys
{statements}
assert not [name for name in sys.modules if name.partition(".")[0] in {forbidden!r}], "imported for nothing"
"""


@pytest.mark.parametrize(
    ("statements", "forbidden"),
    [
        ("import monitoring.__main__", ("evidently", "pandas", "xgboost", "plotly")),
        ("import monitoring.exporter", ("evidently", "pandas", "xgboost", "plotly")),
        ("import monitoring.job", ("evidently", "plotly")),
    ],
)
def test_evidently_is_imported_only_when_a_comparison_is_made(statements: str, forbidden: tuple[str, ...]) -> None:
    code = _STRICT.format(statements=statements, forbidden=forbidden)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_telemetry_is_switched_off_before_evidently_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DO_NOT_TRACK", "ITERATIVE_DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    compare(_columns(1, 50), _columns(2, 50), _limits(_columns(1, 1)))
    assert (os.environ["DO_NOT_TRACK"], os.environ["ITERATIVE_DO_NOT_TRACK"]) == ("1", "1")
