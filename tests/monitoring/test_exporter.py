"""The exporter as a process over a real database, scraped over HTTP."""

import math
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from candlecast import metrics
from candlecast.candles import Interval
from candlecast.store import candles
from candlecast.store.database import Database
from tests.monitoring.world import (
    BTC,
    ETH,
    HERE,
    KIND,
    SPOKEN,
    Exporter,
    Samples,
    allow_connections,
    exporting,
    fill,
    value,
)
from tests.programs import running
from tests.service.house import NOON, set_clock, store, walk
from tests.waiting import eventually

SERIES = {"CANDLECAST_SERIES": f"{BTC},{ETH}", "CANDLECAST_HORIZONS": "1,5"}


def test_state_of_the_tables_is_shown(database: Database, environment: dict[str, str], tmp_path: Path) -> None:
    fill(database)
    before = time.time()
    with exporting(environment | SERIES, tmp_path) as exporter:
        samples = eventually(lambda: _complete(exporter), 30)
        assert {name for name, _ in samples} == {metric.name for metric in metrics.STATE}
        assert value(samples, "candlecast_database_up") == 1

        lag = value(samples, "candlecast_candle_lag_seconds", **HERE)
        assert 0 <= lag < 300  # the clock goes on from noon, where the newest candle closed
        assert value(samples, "candlecast_candle_lag_seconds", **HERE | {"symbol": "ETH-USDT"}) == math.inf
        assert value(samples, "candlecast_candle_interval_seconds", **HERE) == 3600

        _check_jobs(samples, before)
        assert 3 * 86400 <= value(samples, "candlecast_champion_age_seconds", **KIND) < 3 * 86400 + 300
        assert value(samples, "candlecast_drift_share_ratio", **KIND) == 0.4
        assert value(samples, "candlecast_drift_detected", **KIND) == 1
        assert 600 <= value(samples, "candlecast_drift_report_age_seconds", **KIND) < 900

        assert value(samples, "candlecast_champion_present", **KIND) == 1
        assert value(samples, "candlecast_champion_info", **KIND, model_version="m1") == 1
        decided = {d: value(samples, "candlecast_model_decisions_total", **KIND, decision=d) for d in _DECISIONS}
        assert decided == {"promoted": 1, "refused": 2}
        distances = [found for (name, _), found in samples.items() if name == "candlecast_drift_column_ratio"]
        assert sorted(distances) == [0.0] * 6 + [2.0] * 4

        _check_ledger(samples, before)
        _check_quality(samples)
        assert value(samples, "candlecast_candles_missing", **HERE) == 2
        assert value(samples, "candlecast_candles_confirmed_missing", **HERE) == 1
        assert value(samples, "candlecast_candles_completeness_ratio", **HERE) == pytest.approx(25 / 27)
        assert value(samples, "candlecast_source_ban_left_seconds", source="kraken") == pytest.approx(86400, abs=300)
        assert value(samples, "candlecast_source_ban_left_seconds", source="coinbase") == 0
        assert value(samples, "candlecast_source_clock_skew_seconds", source="replay") == -1.5
        assert _bans(samples) == {"replay": 0, "kraken": 1, "coinbase": 0}
        bitcoin = {"symbol": "BTC-USDT", "source": "coingecko"}
        assert value(samples, "candlecast_last_price_age_seconds", **bitcoin) > 0
        assert value(samples, "candlecast_last_price_disagreements_total", **bitcoin) == 1

        assert exporter.http.get("/").status_code == 404
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(10) == 0


def _check_jobs(samples: Samples, before: float) -> None:
    def job(name: str, job_name: str, **labels: str) -> float:
        return value(samples, f"candlecast_{name}", job_name=job_name, **labels)

    for name in ("ingestion", "training"):
        assert before - 60 < job("job_last_success_timestamp_seconds", name) < before + 60
        assert 0 <= job("job_last_duration_seconds", name) < 60
    # Drift never succeeded: it is waited for since the first series was there.
    assert job("job_last_success_timestamp_seconds", "drift") < job("job_last_success_timestamp_seconds", "ingestion")
    assert ("candlecast_job_last_duration_seconds", frozenset({("job_name", "drift")})) not in samples
    assert job("job_last_rows", "ingestion") == 0
    assert job("job_recent_failures", "ingestion", code="venue_unavailable") == 1
    assert job("job_recent_failures", "drift", code="unknown") == 1
    found = {n: [job("job_runs_total", n, state=s) for s in ("succeeded", "failed", "cancelled")] for n in _JOBS}
    assert found == {"ingestion": [1, 1, 0], "training": [1, 0, 0], "drift": [0, 1, 0], "retention": [0, 0, 0]}
    assert [job("run_requests_waiting", name) for name in _JOBS] == [0, 1, 0, 0]
    assert [job("job_running", name) for name in _JOBS] == [0, 0, 0, 0]


_JOBS = ("ingestion", "training", "drift", "retention")


def _bans(samples: Samples) -> dict[str, float]:
    return {
        dict(labels)["source"]: found for (name, labels), found in samples.items() if name == "candlecast_source_banned"
    }


_DECISIONS = ("promoted", "refused")


def _complete(exporter: Exporter) -> Samples:
    """Return a scrape to which all that is looked at beside it has come."""
    samples = exporter.scrape()
    assert ("candlecast_ledger_intact", frozenset[tuple[str, str]]()) in samples
    assert any(name == "candlecast_pooled_live_skill_ratio" for name, _ in samples)
    return samples


def _check_ledger(samples: Samples, before: float) -> None:
    assert value(samples, "candlecast_ledger_forecasts", **HERE) == 2 * SPOKEN
    assert value(samples, "candlecast_ledger_forecasts", **HERE | {"symbol": "ETH-USDT"}) == 0
    assert value(samples, "candlecast_forecast_lag_seconds", **HERE) == 3600
    assert value(samples, "candlecast_ledger_intact") == 1
    assert value(samples, "candlecast_ledger_checked_timestamp_seconds") > before


def _check_quality(samples: Samples) -> None:
    """The champion is always off by one; of every other candle the baseline is off by more than its 95 % interval."""
    said = HERE | {"horizon": "1"}
    scored = {w: value(samples, "candlecast_live_scored_forecasts", **said, window=w) for w in ("24h", "7d", "30d")}
    assert scored == {"24h": 24, "7d": SPOKEN, "30d": SPOKEN}
    for name in ("live_skill_ratio", "live_error_ratio", "live_brier_score"):
        assert -50 < value(samples, f"candlecast_{name}", **said, window="7d") < 1
    assert value(samples, "candlecast_live_coverage_ratio", **said, window="7d", level="95") in (0, 1)
    pooled = [
        value(samples, "candlecast_pooled_live_skill_ratio", **KIND, horizon="1", bound=bound)
        for bound in ("lower", "value", "upper")
    ]
    assert pooled == sorted(pooled)
    assert pooled[1] == pytest.approx(value(samples, "candlecast_live_skill_ratio", **said, window="7d"), rel=0.05)
    far = HERE | {"horizon": "5"}
    assert value(samples, "candlecast_live_scored_forecasts", **far, window="7d") == 0
    assert ("candlecast_live_skill_ratio", frozenset((far | {"window": "7d"}).items())) not in samples


def test_a_series_that_was_asked_for_is_shown_too(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(database)
    with database.begin() as connection:
        candles.ask_series(connection, BTC)
    with exporting(environment | {"CANDLECAST_SERIES": str(ETH)}, tmp_path) as exporter:
        assert value(exporter.scrape(), "candlecast_ledger_forecasts", **HERE) == 2 * SPOKEN


def test_labels_come_from_the_settings_only(database: Database, environment: dict[str, str], tmp_path: Path) -> None:
    fill(database)
    with exporting(environment | {"CANDLECAST_SERIES": str(ETH)}, tmp_path) as exporter:
        shown = [labels for name, labels in exporter.scrape() if "price" not in name]
    symbols = {label for labels in shown for label in labels if label[0] == "symbol"}
    assert symbols == {("symbol", "ETH-USDT")}


def test_each_scrape_looks_again(database: Database, environment: dict[str, str], tmp_path: Path) -> None:
    set_clock(database, NOON)
    with exporting(environment | SERIES, tmp_path) as exporter:
        assert value(exporter.scrape(), "candlecast_candle_lag_seconds", **HERE) == math.inf
        store(database, BTC, walk(Interval.H1, 10))
        assert value(exporter.scrape(), "candlecast_candle_lag_seconds", **HERE) < 300
        set_clock(database, NOON + Interval.H1.delta)
        assert value(exporter.scrape(), "candlecast_candle_lag_seconds", **HERE) >= 3600


def test_database_that_goes_away_is_said_and_its_return_too(
    database: Database, database_url: str, server_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(database)
    away = {("candlecast_database_up", frozenset[tuple[str, str]]()): 0.0}
    with exporting(environment | SERIES, tmp_path) as exporter:
        assert len(exporter.scrape()) > 30
        database.close()
        allow_connections(server_url, database_url, allowed=False)
        try:
            assert exporter.scrape() == exporter.scrape() == away
            assert exporter.http.get("/livez").status_code == 200
        finally:
            allow_connections(server_url, database_url, allowed=True)
        eventually(lambda: len(exporter.scrape()) > 30, 30)
        log = exporter.log.read_text()
    assert log.count("saying so until it is back") == 1
    assert log.count("the database is back") == 1


def test_exporter_starts_without_its_database_and_without_a_schema(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {"CANDLECAST_DATABASE_URL": "postgresql://someone:secret@127.0.0.1:1/nothing"}
    with exporting(environment | SERIES | nowhere, tmp_path) as exporter:
        assert value(exporter.scrape(), "candlecast_database_up") == 0
        assert "secret" not in exporter.log.read_text()
    with database.begin() as connection:
        connection.execute(text("DROP TABLE drift_report"))
    with exporting(environment | SERIES, tmp_path) as exporter:
        assert value(exporter.scrape(), "candlecast_database_up") == 0
        assert "drift_report" in exporter.log.read_text()


def test_database_that_does_not_answer_in_time_counts_as_away(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(database)
    with exporting(environment | SERIES, tmp_path) as exporter, database.begin() as connection:
        connection.execute(text("LOCK TABLE champion IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        assert value(exporter.scrape(), "candlecast_database_up") == 0
        assert time.monotonic() - began < 9  # Prometheus gives up after ten seconds


def test_busy_port_is_named_with_the_way_out(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = SERIES | {"CANDLECAST_EXPORTER_PORT": str(port)}
        with running([sys.executable, "-m", "monitoring", "export"], environment | settings, log) as process:
            assert process.wait(60) == 78
    assert f"port {port} is in use" in log.read_text()
    assert f"CANDLECAST_EXPORTER_PORT={port + 1}" in log.read_text()
