"""The drift job as a process, on a database, and what the API then says."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.drift import Calibration, ColumnDrift, DriftSummary, Window
from candlecast.errors import NotFound
from candlecast.store import drift, models, runs
from candlecast.store.database import Database
from candlecast.store.drift import PAGES_KEPT, Report
from candlecast.xgb import XGBForecaster
from tests.bench import drift as bench
from tests.browser.page import open_page
from tests.programs import ROOT
from tests.service.house import NOON, TOKEN, service_environment, serving, set_clock, store, wait_until_ready, walk

BTC, ETH = Series.parse("replay:BTC-USDT:1h"), Series.parse("replay:ETH-USDT:1h")
KIND = ("replay", Interval.H1)
DAY = timedelta(days=1)
TRAINED = timedelta(hours=7)  # ago: neither so recent that no training may follow, nor so old that one has to


def _wicked(candles: Candles, since: datetime) -> Candles:
    """Return candles whose wicks are four times as long from `since` on; opens and closes stay."""
    late = candles.close_time > np.datetime64(since.replace(tzinfo=None), "ms")
    top, bottom = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    high = np.where(late, top + 4 * (candles.high - top), candles.high)
    low = np.where(late, bottom - 4 * (bottom - candles.low), candles.low)
    return replace(candles, high=high, low=low)


def _drift(environment: dict[str, str], series: str = f"{BTC},{ETH}") -> int:
    """Run `python -m monitoring drift`; return its exit code."""
    command = [sys.executable, "-m", "monitoring", "drift"]
    return subprocess.run(command, cwd=ROOT, env=environment | {"CANDLECAST_SERIES": series}, timeout=600).returncode


def _reports(database: Database) -> list[Report]:
    with database.begin() as connection:
        return drift.reports(connection, limit=50)


def _promote(database: Database, candles: dict[Series, Candles]) -> str:
    model = XGBForecaster.fit(candles, [1, 5])
    version = models.Version("m1", "xgb", "replay", Interval.H1, NOON - TRAINED, model.manifest, None, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON - TRAINED, reason="a test")
    return version.id


@pytest.mark.timeout(900)
def test_drift_is_seen_stored_and_served(
    database: Database, database_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    set_clock(database, NOON)
    candles = {BTC: walk(Interval.H1, 2208), ETH: walk(Interval.H1, 2208, seed=2)}
    for series, those in candles.items():
        store(database, series, those)
    champion = _promote(database, {s: c[-1200:-192] for s, c in candles.items()})

    assert _drift(environment) == 0
    (calm,) = _reports(database)
    assert (calm.venue, calm.interval, calm.model_version, calm.has_page) == ("replay", Interval.H1, champion, True)
    assert calm.current == Window(NOON - 7 * DAY, NOON, 2 * 168)
    assert calm.reference.end == NOON - 8 * DAY  # where training ended, not where the current window begins
    assert calm.reference.length == 20 * DAY, "a third of what lies before"
    known = calm.summary.calibration
    assert known is not None
    assert (known.column_rate, known.null_windows, known.end) == (0.05, 35, calm.reference.end)
    assert known.made_at == calm.created_at
    assert 0 <= known.verdict_rate < 0.2
    assert not calm.summary.drifted
    assert {"return_0", "p_up_1", "predicted_width_5"} <= set(calm.summary.columns)

    for series, those in candles.items():
        store(database, series, _wicked(those, NOON - 7 * DAY))
    for _ in range(2):
        assert _drift(environment) == 0
    again, moved, _ = _reports(database)
    assert moved.summary.drifted
    assert moved.has_page, "drift that begins is shown"
    assert again.summary.drifted
    assert not again.has_page, "drift that goes on has its page"
    assert moved.summary.columns["upper_wick_0"].drifted
    assert moved.summary.columns["volume_1_12"] == calm.summary.columns["volume_1_12"], "volumes have not changed"
    for later in (moved, again):
        assert later.summary.calibration == known, "thresholds stay for a day"
        assert {n: c.threshold for n, c in later.summary.columns.items()} == {
            n: c.threshold for n, c in calm.summary.columns.items()
        }

    with database.begin() as connection:
        done = [
            (run.job, run.state, run.exit_code, run.done, run.target, run.rows)
            for run in runs.recent(connection, limit=9, job="drift")
        ]
        (asked,) = runs.recent(connection, limit=9, job="training")
    assert done == [("drift", "succeeded", 0, 3, 3, 1)] * 3
    assert (asked.state, asked.requested_by) == ("queued", "retraining")
    share = f"{100 * moved.summary.share:.0f} %"
    assert asked.reason == f"replay 1h: {share} of the columns have drifted"
    _check_api(database, database_url, tmp_path, calm, again)


def _check_api(database: Database, url: str, folder: Path, calm: Report, newest: Report) -> None:
    """Read both reports over HTTP, the page of one in a real browser, and ask for another run."""
    environment = service_environment(url, folder, f"{BTC},{ETH}")
    with serving(environment, database, folder) as house:
        wait_until_ready(house)
        found = house.get("/v1/drift", venue="replay", interval="1h")["reports"]
        assert [report["id"] for report in found] == [newest.id, newest.id - 1, calm.id]
        assert house.get("/v1/drift", limit=1)["reports"] == found[:1]
        assert house.get("/v1/drift", venue="binance")["reports"] == []
        assert house.get("/v1/drift", interval="5m")["reports"] == []
        assert (found[0]["report"], found[2]["report"]) == (None, f"/v1/drift/{calm.id}/report")
        assert (found[0]["drifted"], found[2]["drifted"]) == (True, False)
        assert found[0]["share"] == newest.summary.share
        ratios = [column["score"] / column["threshold"] for column in found[0]["columns"]]
        assert ratios == sorted(ratios, reverse=True)
        assert {c["name"]: c["score"] for c in found[0]["columns"]} == {
            name: one.score for name, one in newest.summary.columns.items()
        }

        page = house.http.get(found[2]["report"])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        plain = house.http.get(found[2]["report"], headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.text == page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "http" not in policy
        assert "allow-same-origin" not in policy
        for number, reason in ((newest.id, "keeps no page"), (newest.id + 1, "there is no drift report")):
            missing = house.http.get(f"/v1/drift/{number}/report")
            assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
            assert reason in missing.json()["detail"]
        assert house.http.get("/v1/drift", params={"interval": "2h"}).status_code == 400

        asked = house.http.post("/v1/runs", json={"job": "drift"}, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (asked.status_code, asked.json()["job"]) == (202, "drift")
        _look_at(f"{house.http.base_url}{found[2]['report']}".replace("//v1", "/v1"), folder)


def _look_at(url: str, folder: Path) -> None:
    with open_page(url, folder / "pictures") as screen:
        screen.page.get_by_text("Share of Drifted Columns").wait_for(timeout=60_000)
        screen.page.locator("td button").first.click()  # the details of one column
        screen.page.locator(".main-svg").first.wait_for(timeout=60_000)
        screen.picture("drift")
        assert [one for one in screen.complaints if "favicon" not in one] == []
        assert {request for request in screen.requests if request.startswith("http")} <= {
            url,
            url.partition("/v1")[0] + "/favicon.ico",
        }


def test_too_few_candles_end_as_such_and_the_other_interval_is_still_compared(
    database: Database, environment: dict[str, str]
) -> None:
    set_clock(database, NOON)
    store(database, BTC, walk(Interval.H1, 1000))
    store(database, Series.parse("replay:BTC-USDT:4h"), walk(Interval.H4, 600))
    assert _drift(environment, "replay:BTC-USDT:1h,replay:BTC-USDT:4h,replay:SOL-USDT:1h") == 65
    (report,) = _reports(database)
    assert (report.interval, report.model_version) == (Interval.H1, None)
    assert report.current.rows == 168
    with database.begin() as connection:
        (run,) = runs.recent(connection, limit=2)
    assert (run.state, run.error_code) == ("failed", "not_enough_candles")
    assert run.error is not None
    assert run.error.startswith("replay 4h: ")


def _report_of(database: Database, share: float, page: str | None, created_at: datetime = NOON) -> int:
    moved = round(share * 10)
    columns = {f"f{n}": ColumnDrift(1.0 if n < moved else 0.0, 0.1) for n in range(10)}
    with database.begin() as connection:
        return drift.record(
            connection,
            KIND,
            DriftSummary("wasserstein", columns, page),
            reference=Window(NOON - 35 * DAY, NOON - 7 * DAY, 100),
            current=Window(NOON - 7 * DAY, NOON, 50),
            model_version=None,
            now=created_at,
        )


def test_reports_come_back_as_they_were_written(database: Database) -> None:
    first = _report_of(database, 0.2, "<html>one</html>", NOON - DAY)
    second = _report_of(database, 0.3, None)
    newer, older = _reports(database)
    assert [(r.id, r.summary.share, r.summary.drifted, r.has_page) for r in (older, newer)] == [
        (first, 0.2, False, True),
        (second, 0.3, True, False),
    ]
    with database.begin() as connection:
        assert drift.newest(connection) == {KIND: newer}
        assert drift.newest_page(connection, KIND) == NOON - DAY
        assert drift.newest_watch(connection) == {"replay": NOON}
        with pytest.raises(NotFound, match="keeps no page"):
            drift.page(connection, second)


def test_calibration_comes_back_as_it_was_written(database: Database) -> None:
    known = Calibration(0.05, 0.04, 57, NOON - 100 * DAY, NOON - 7 * DAY, NOON)
    summary = DriftSummary("wasserstein", {"x": ColumnDrift(0.2, 0.3)}, calibration=known)
    with database.begin() as connection:
        drift.record(
            connection,
            KIND,
            summary,
            reference=Window(NOON - 35 * DAY, NOON - 7 * DAY, 9),
            current=Window(NOON - 7 * DAY, NOON, 9),
            model_version=None,
            now=NOON,
        )
    (report,) = _reports(database)
    assert report.summary == summary


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_job_never_holds_400_megabytes(database: Database, environment: dict[str, str]) -> None:
    series = bench.fill(database, Interval.M5)
    _, peak = bench.watch(environment | {"CANDLECAST_SERIES": series})
    (report,) = _reports(database)
    assert report.has_page
    assert report.summary.calibration is not None
    assert "p_up_1" in report.summary.columns
    assert peak < bench.MOST_MEGABYTES


def test_scores_are_kept_for_ever_and_pages_for_a_while(database: Database) -> None:
    numbers = [_report_of(database, 0.0, f"<html>{n}</html>") for n in range(PAGES_KEPT + 3)]
    kept = [report.id for report in _reports(database) if report.has_page]
    assert sorted(kept) == numbers[3:]
    assert len(_reports(database)) == len(numbers)


def test_database_refuses_windows_that_overlap(database: Database) -> None:
    _report_of(database, 0.0, None)
    with pytest.raises(Exception, match="drift_report_windows_check"), database.begin() as connection:
        connection.execute(text("UPDATE drift_report SET reference_end = current_end"))


def test_command_without_a_word_is_a_usage_error(environment: dict[str, str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "monitoring"], cwd=ROOT, env=environment, capture_output=True, timeout=60
    )
    assert found.returncode != 0
    assert b"drift,export" in found.stderr
