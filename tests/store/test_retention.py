"""What is old goes, what something else still needs stays, and a dry run says so beforehand."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store import ledger, models, runs
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.retention import RetentionPolicy, prune
from candlecast.store.state import read_state
from tests.making import START, make_candles, make_forecast

SERIES = Series.parse("replay:BTC-USDT:15m")
STEP = Interval.M15.delta
MONTH = timedelta(days=30)
POLICY = RetentionPolicy(runs=MONTH, drift_pages=MONTH, artefacts=MONTH)
NOTHING = {
    "runs": 0,
    "requests": 0,
    "decisions": 0,
    "drift_pages": 0,
    "artefacts": 0,
    "evaluation_forecasts": 0,
    "candles": 0,
}


def pruned(database: Database, policy: RetentionPolicy = POLICY) -> dict[str, int]:
    """Prune, after a dry run that must say the same and change nothing; return what went."""
    with database.begin() as connection:
        promised = prune(connection, policy, dry_run=True)
    with database.begin() as connection:
        again = prune(connection, policy, dry_run=True)
        counts = prune(connection, policy, dry_run=False)
    assert promised == again == counts
    return {kind: count for kind, count in counts.items() if count}


def values(database: Database, query: str) -> list[Any]:
    with database.begin() as connection:
        return list(connection.execute(text(query)).scalars())


def age(database: Database, table: str, column: str, where: str, days: int = 31) -> None:
    with database.begin() as connection:
        statement = f"UPDATE {table} SET {column} = {column} - make_interval(days => {days}) WHERE {where}"  # noqa: S608
        connection.execute(text(statement))


def ended_run(database: Database, job: str, state: str = "succeeded", *, asked: bool = False) -> int:
    with database.begin() as connection:
        claim = None
        if asked:
            runs.ask(connection, job, {}, requested_by="anna")
            claim = runs.claim(connection, job)
        number = runs.start(connection, job, claim, holder="a test")
        runs.finish(connection, number, state=state, exit_code=0)
    return number


def register(database: Database, name: str, *, promote: bool = False, run_id: int | None = None) -> None:
    decision = {"promote": promote, "reason": "a test", "numbers": {}}
    version = models.Version(name, "xgboost", "replay", Interval.M15, START, {}, decision, None)
    with database.begin() as connection:
        models.register(connection, version, {"booster": b"1", "calibration": b"2"}, [], run_id)


def speak(
    database: Database,
    cutoff: datetime,
    horizon: int = 1,
    model_version: str = models.NAIVE,
    role: str = "champion",
) -> None:
    said = make_forecast(cutoff, Interval.M15, horizon)
    with database.begin() as connection:
        models.register_naive(connection)
        candle_store.add_series(connection, [SERIES])
        ledger.record(connection, SERIES, [Entry(said, model_version, role, cutoff)])


def test_nothing_old_is_nothing_to_prune(database: Database) -> None:
    ended_run(database, "ingestion", asked=True)
    register(database, "young")
    with database.begin() as connection:
        assert prune(connection, POLICY, dry_run=False) == NOTHING


def test_old_runs_go_with_their_requests_but_the_newest_success_of_a_job_stays(database: Database) -> None:
    first, second = ended_run(database, "ingestion", asked=True), ended_run(database, "ingestion", asked=True)
    failed = ended_run(database, "training", "failed", asked=True)
    age(database, "job_run", "finished_at", "true")
    age(database, "run_request", "requested_at", "true")
    young = ended_run(database, "drift")
    assert pruned(database) == {"runs": 2, "requests": 2}
    assert values(database, "SELECT id FROM job_run ORDER BY id") == [second, young]
    assert first < second < failed


def test_a_run_that_goes_on_and_a_request_that_waits_stay(database: Database) -> None:
    with database.begin() as connection:
        runs.ask(connection, "ingestion", {}, requested_by="anna")
        cancelled = runs.ask(connection, "training", {}, requested_by="anna")
        runs.cancel(connection, cancelled)
        runs.start(connection, "drift", None, holder="a test")
    age(database, "job_run", "started_at", "true")
    age(database, "run_request", "requested_at", "true")
    assert pruned(database) == {"requests": 1}
    assert values(database, "SELECT job FROM run_request") == ["ingestion"]


def test_a_run_that_a_model_version_or_a_drift_report_names_stays(database: Database) -> None:
    training, drift, other = (ended_run(database, job, "failed") for job in ("training", "drift", "drift"))
    register(database, "made", run_id=training)
    insert_report(database, "NULL", run_id=drift)
    age(database, "job_run", "finished_at", "true")
    assert pruned(database) == {"runs": 1}
    assert values(database, "SELECT id FROM job_run ORDER BY id") == [training, drift]
    assert other not in (training, drift)


def test_pruned_runs_still_count(database: Database) -> None:
    for state in ("failed", "succeeded", "failed", "succeeded"):
        ended_run(database, "ingestion", state)
    before = run_counts(database)
    for _ in range(2):
        age(database, "job_run", "finished_at", "id IN (SELECT id FROM job_run ORDER BY id LIMIT 2)")
        pruned(database)
    assert run_counts(database) == before == {("ingestion", "failed"): 2, ("ingestion", "succeeded"): 2}


def run_counts(database: Database) -> dict[tuple[str, str], int]:
    return dict(read_state(database, [SERIES]).jobs.runs)


def insert_report(database: Database, html: str, run_id: int | None = None) -> None:
    statement = f"""
    INSERT INTO drift_report (venue, interval, run_id, created_at, reference_start, reference_end, reference_rows,
                              current_start, current_end, current_rows, method, share, drifted, scores, html)
    VALUES ('replay', '15m', :run_id, now(), now() - interval '4 days', now() - interval '3 days', 9,
            now() - interval '2 days', now() - interval '1 day', 9, 'a test', 0, false, '{{}}', {html})
    """  # noqa: S608  # the text of this module
    with database.begin() as connection:
        connection.execute(text(statement), {"run_id": run_id})


def test_an_old_drift_page_goes_and_its_scores_stay(database: Database) -> None:
    insert_report(database, "'old'")
    insert_report(database, "NULL")
    age(database, "drift_report", "recorded_at", "true")
    insert_report(database, "'young'")
    assert pruned(database) == {"drift_pages": 1}
    assert [page and bytes(page) for page in values(database, "SELECT html FROM drift_report ORDER BY id")] == [
        None,
        None,
        b"young",
    ]


def test_only_artefacts_of_models_that_never_served_go(database: Database) -> None:
    for name in ("refused", "challenger", "champion", "spoke", "young"):
        register(database, name)
    register(database, "once_promoted", promote=True)
    with database.begin() as connection:
        models.promote(connection, models.version(connection, "champion"), now=START, reason="by hand")
    speak(database, START, model_version="spoke")
    speak(database, START, model_version="challenger", role="challenger")
    age(database, "model_version", "recorded_at", "id <> 'young'")
    assert pruned(database) == {"artefacts": 4}
    kept = values(database, "SELECT DISTINCT model_version FROM model_artifact ORDER BY 1")
    assert kept == ["champion", "once_promoted", "spoke", "young"]
    assert "refused" in values(database, "SELECT id FROM model_version")


@pytest.mark.parametrize("days", [None, 1])
def test_candles_are_kept_unless_the_policy_says_how_long(database: Database, days: int | None) -> None:
    candles = make_candles(200)
    with database.begin() as connection:
        candle_store.upsert(connection, SERIES, candles, source="replay", now=candles.cutoff)
    policy = RetentionPolicy(MONTH, MONTH, MONTH, timedelta(days=days) if days else None)
    if days is None:
        assert pruned(database, policy) == {}
    else:
        assert pruned(database, policy) == {"candles": 200 - 1 - 96}
        with database.begin() as connection:
            assert candle_store.read(connection, SERIES) == candles[103:]


def test_a_candle_that_the_ledger_speaks_of_is_never_deleted(database: Database) -> None:
    candles = make_candles(200)
    with database.begin() as connection:
        candle_store.upsert(connection, SERIES, candles, source="replay", now=candles.cutoff)
    speak(database, START + 10 * STEP)
    speak(database, START + 20 * STEP, horizon=5)
    scored = "SELECT error FROM forecast_error ORDER BY cutoff"
    before = values(database, scored)
    assert pruned(database, RetentionPolicy(MONTH, MONTH, MONTH, timedelta(hours=1))) == {"candles": 200 - 1 - 4 - 2}
    with database.begin() as connection:
        left = candle_store.read(connection, SERIES)
    assert left[:2] == candles[np.isin(np.arange(200), (10, 24))]
    assert values(database, scored) == before
    assert len(before) == 2
