"""`python -m ingestion_job retention`, as a process: what it throws away, and what it only says."""

import subprocess
import sys

from sqlalchemy import text

from candlecast.store import runs
from candlecast.store.database import Database

Environment = dict[str, str]


def retention(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ingestion_job", "retention", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def old_runs(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM job_run WHERE job = 'training'")).scalar_one())


def test_a_dry_run_says_what_a_run_then_does(database: Database, environment: Environment) -> None:
    with database.begin() as connection:
        for _ in range(3):
            number = runs.start(connection, "training", None, holder="a test")
            runs.finish(connection, number, state="failed", exit_code=65)
        connection.execute(text("UPDATE job_run SET finished_at = finished_at - interval '50 days'"))
    settings = environment | {"CANDLECAST_RETENTION_RUN_DAYS": "40"}
    dry = retention(settings, "--dry-run")
    gone = "3 runs, 0 requests, 0 decisions, 0 drift pages, 0 artefacts, 0 evaluation forecasts, 0 candles"
    assert (dry.returncode, dry.stdout) == (0, f"would throw away {gone}\n")
    assert old_runs(database) == 3
    wet = retention(settings)
    assert wet.returncode == 0, wet.stderr
    assert old_runs(database) == 0
    with database.begin() as connection:
        (row,) = runs.recent(connection, limit=5)
    assert (row.job, row.state, row.rows) == ("retention", "succeeded", 3)
    assert row.message == f"threw away {gone}"


def test_a_misspelt_command_is_64(environment: Environment) -> None:
    assert retention(environment, "--all").returncode == 64
