import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.errors import ConfigurationError, DataError, UnknownSeries, VenueUnavailable
from candlecast.jobs import Run, run_job
from candlecast.settings import Settings, load_settings
from candlecast.store import runs
from candlecast.store.database import Database, try_lock
from candlecast.store.runs import RunRow


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load_settings(database_url=database_url)


def rows(database: Database) -> list[RunRow]:
    with database.begin() as connection:
        return runs.recent(connection, limit=10)


def job(work: Callable[[Run], Any], settings: Settings) -> int:
    def sentence(run: Run) -> str:
        work(run)
        return "all done"

    return run_job("ingestion", settings, sentence)


def test_a_run_leaves_a_row_with_its_counters_and_summary(database: Database, settings: Settings) -> None:
    def work(run: Run) -> None:
        run.plan(3)
        run.advance("halfway", done=2, rows=20)
        run.advance("almost", done=1, rows=10)

    assert job(work, settings) == 0
    (row,) = rows(database)
    assert (row.state, row.done, row.target, row.rows, row.message) == ("succeeded", 3, 3, 30, "all done")
    assert (row.exit_code, row.error, row.failed) == (0, None, 0)
    assert row.holder is not None
    assert f"pid {os.getpid()}" in row.holder


def test_a_run_keeps_the_newest_lines_of_its_log(
    database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def work(run: Run) -> None:
        for number in range(300):
            logging.getLogger("a.job").warning("line %d", number)
        try:
            raise ValueError("x" * 5000)
        except ValueError:
            logging.getLogger("a.job").exception("it broke")

    assert job(work, settings) == 0
    logging.getLogger("a.job").warning("after the run")
    (row,) = rows(database)
    assert [line["message"][:20] for line in row.log] == [
        "line 297",
        "line 298",
        "line 299",
        "it broke: ValueError",
        "all done",
    ]
    with database.begin() as connection:
        whole = runs.run(connection, row.id or 0)
    assert whole is not None
    assert (len(whole.log), max(len(line["message"]) for line in whole.log)) == (200, 1000)
    assert {line["level"] for line in whole.log} == {"warning", "error", "info"}


def test_a_run_takes_its_parameters_from_the_oldest_waiting_request(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        first = runs.ask(connection, "ingestion", {"series": ["a"]}, requested_by="ann")
        runs.ask(connection, "ingestion", {"series": ["b"]}, requested_by="bob")
        runs.ask(connection, "training", {"series": ["c"]}, requested_by="cat")
    seen: list[Any] = []
    assert job(lambda run: seen.append(run.parameters), settings) == 0
    assert seen == [{"series": ["a"]}]
    done = next(row for row in rows(database) if row.id is not None)
    assert (done.request_id, done.requested_by) == (first, "ann")
    assert [row.requested_by for row in rows(database) if row.id is None] == ["cat", "bob"]


def test_a_cancelled_request_is_never_claimed(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        runs.cancel(connection, runs.ask(connection, "ingestion", {"series": ["a"]}, requested_by="ann"))
    seen: list[Any] = []
    assert job(lambda run: seen.append(run.parameters), settings) == 0
    assert seen == [{}]


def test_cancelling_stops_a_run_after_its_chunk(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        request = runs.ask(connection, "ingestion", {}, requested_by="ann")

    def work(run: Run) -> None:
        run.report("first chunk")
        with database.begin() as connection:
            runs.cancel(connection, request)
        run.report("second chunk")
        pytest.fail("went on after it was cancelled")

    assert job(work, settings) == 0
    (row,) = rows(database)
    assert (row.state, row.message) == ("cancelled", "stopped as asked")


def test_a_second_run_ends_with_75_and_names_the_holder(
    database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    inner: list[int] = []
    assert job(lambda _: inner.append(job(lambda _: pytest.fail("ran twice"), settings)), settings) == 0
    assert inner == [75]
    (row,) = rows(database)
    assert f"run {row.id} on {row.holder}" in caplog.text


def test_the_lock_is_free_again_after_a_run(database: Database, settings: Settings) -> None:
    assert job(lambda _: None, settings) == 0
    with database.begin() as connection:
        assert try_lock(connection, "candlecast:ingestion")


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (ConfigurationError("set it"), 78, "configuration_error"),
        (VenueUnavailable("later"), 75, "venue_unavailable"),
        (DataError("bad"), 65, "data_error"),
        (ZeroDivisionError("oops"), 1, "candlecast_error"),
    ],
)
def test_an_error_ends_the_run_with_its_exit_code(
    database: Database, settings: Settings, error: Exception, code: int, word: str
) -> None:
    def work(_: Run) -> None:
        raise error

    assert job(work, settings) == code
    (row,) = rows(database)
    assert (row.state, row.exit_code, row.error_code) == ("failed", code, word)
    assert str(error) in str(row.error)


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([UnknownSeries("no such pair")], 65),
        ([UnknownSeries("no such pair"), VenueUnavailable("later")], 75),
    ],
)
def test_the_exit_code_of_several_parts_says_whether_trying_again_helps(
    database: Database, settings: Settings, failures: list[Any], code: int
) -> None:
    def work(run: Run) -> None:
        for number, failure in enumerate(failures):
            run.fail(f"part {number}", failure)

    assert job(work, settings) == code
    (row,) = rows(database)
    assert (row.state, row.failed) == ("failed", len(failures))
    assert row.error == "; ".join(f"part {number}: {failure.message}" for number, failure in enumerate(failures))


def test_sigterm_lets_a_chunk_finish(database: Database, settings: Settings) -> None:
    def work(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        run.advance("the chunk that was under way", done=1, rows=5)
        pytest.fail("went on after SIGTERM")

    assert job(work, settings) == 75
    (row,) = rows(database)
    assert (row.state, row.error_code, row.rows) == ("failed", "interrupted", 5)


def test_sigterm_ends_a_long_calculation_at_once(database: Database, settings: Settings) -> None:
    def work(run: Run) -> None:
        with run.interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("went on after SIGTERM")

    assert job(work, settings) == 75
    assert [row.error_code for row in rows(database)] == ["interrupted"]


def test_the_row_of_a_process_that_vanished_is_closed_by_the_next_run(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        runs.start(connection, "ingestion", None, holder="gone pid 1")
    assert job(lambda _: None, settings) == 0
    lost = next(row for row in rows(database) if row.holder == "gone pid 1")
    assert (lost.state, lost.error_code) == ("failed", "lost")


def test_what_an_interrupted_run_was_asked_for_is_done_by_the_next(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        runs.ask(connection, "ingestion", {"series": ["a"]}, requested_by="ann")
    seen: list[Any] = []

    def interrupted(run: Run) -> None:
        seen.append(run.parameters)
        os.kill(os.getpid(), signal.SIGTERM)
        run.advance("the chunk that was under way")

    assert job(interrupted, settings) == 75
    assert job(lambda run: seen.append(run.parameters), settings) == 0
    assert job(lambda run: seen.append(run.parameters), settings) == 0
    assert seen == [{"series": ["a"]}, {"series": ["a"]}, {}]


def test_a_request_that_keeps_failing_is_given_up(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        runs.ask(connection, "ingestion", {"series": ["a"]}, requested_by="ann")
    seen: list[Any] = []

    def away(run: Run) -> None:
        seen.append(run.parameters)
        raise VenueUnavailable("later")

    for _ in range(runs.MOST_TRIES + 1):
        assert job(away, settings) == 75
    assert seen == [{"series": ["a"]}] * runs.MOST_TRIES + [{}]


def test_the_request_of_a_process_that_vanished_is_claimed_again(database: Database, settings: Settings) -> None:
    with database.begin() as connection:
        runs.ask(connection, "ingestion", {"series": ["a"]}, requested_by="ann")
        runs.start(connection, "ingestion", runs.claim(connection, "ingestion"), holder="gone pid 1")
    seen: list[Any] = []
    assert job(lambda run: seen.append(run.parameters), settings) == 0
    assert seen == [{"series": ["a"]}]


def test_a_run_whose_lock_is_gone_stops(database: Database, settings: Settings) -> None:
    def work(run: Run) -> None:
        run.report("still mine")
        with database.begin() as connection:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert connection.execute(text(cut)).scalars().all() == [True]
        run.report("nobody's")
        pytest.fail("went on without the lock")

    assert job(work, settings) == 75
    (row,) = rows(database)
    assert (row.state, row.error_code) == ("failed", "lock_lost")


def test_a_run_that_was_closed_as_lost_does_not_overwrite_that(database: Database, settings: Settings) -> None:
    def work(run: Run) -> None:
        with database.begin() as connection:
            runs.close_lost(connection, "ingestion")
        run.report("nobody's")
        pytest.fail("went on beside the run that took over")

    assert job(work, settings) == 75
    assert [row.error_code for row in rows(database)] == ["lost"]


def test_a_database_that_is_away_is_75(caplog: pytest.LogCaptureFixture) -> None:
    away = load_settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    with caplog.at_level(logging.ERROR):
        assert job(lambda _: pytest.fail("ran"), away) == 75
    assert "cannot reach the database" in caplog.text
