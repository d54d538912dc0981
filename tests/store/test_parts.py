"""What the processes of a run share: its counters, its parts, and locks that can be seen without taking them."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from candlecast.store import parts, runs
from candlecast.store.database import Database, is_locked, try_lock, try_locks
from candlecast.store.parts import Part
from candlecast.store.retention import RetentionPolicy, prune
from candlecast.store.runs import Counts

counts = st.builds(Counts, st.integers(0, 1000), st.none() | st.integers(-50, 1000), st.integers(0, 10**6))
same_database = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def begun(database: Database) -> int:
    with database.begin() as connection:
        return runs.start(connection, "ingestion", None, holder="a test")


@given(st.lists(st.tuples(st.booleans(), counts), min_size=1, max_size=8))
@same_database
def test_counters_are_the_sum_of_what_all_processes_report(database: Database, said: list[tuple[bool, Counts]]) -> None:
    number = begun(database)
    total = Counts()
    for leads, more in said:
        with database.begin() as connection:
            if leads:
                standing = runs.report(connection, number, more, failed=0, message="leading")
            else:
                standing = runs.contribute(connection, number, more)
        total += more
        assert standing == runs.Standing(total, cancelled=False)
    with database.begin() as connection:
        row = runs.run(connection, number)
    assert row is not None
    assert (row.done, row.target, row.rows) == (total.done, total.target, total.rows)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@same_database
def test_a_lock_is_seen_by_others_as_long_as_it_is_held(database: Database, name: str) -> None:
    with database.own_connection() as holder, database.begin() as other:
        assert not is_locked(other, name)
        assert try_lock(holder, name)
        assert is_locked(other, name)
        assert not is_locked(other, f"{name}.")
        holder.commit()
        assert not is_locked(other, name)


def test_the_first_free_locks_are_taken_and_no_other(database: Database) -> None:
    names = ["a", "b", "c", "d", "e"]
    with database.own_connection() as somebody, database.own_connection() as holder, database.begin() as other:
        assert try_lock(somebody, "b")
        assert try_locks(holder, names, 2) == [0, 2]
        assert [name for name in names if is_locked(other, name)] == ["a", "b", "c"]
        assert try_locks(holder, [], 2) == []


def test_each_process_begins_with_other_parts_and_comes_to_all(database: Database) -> None:
    number = begun(database)
    with database.begin() as connection:
        parts.add(connection, number, [Part("all", "only", str(name), {}) for name in range(9)])
        first, second = (
            parts.unfinished(connection, number, "all", index=index, parallelism=3, limit=limit)
            for index, limit in ((0, 9), (1, 4))
        )
    assert ([part.name for part in first[0]], first[1]) == (["0", "3", "6", "1", "2", "4", "5", "7", "8"], 9)
    assert ([part.name for part in second[0]], second[1]) == (["1", "4", "7", "0"], 9)


def test_what_is_done_is_neither_begun_again_nor_overwritten(database: Database) -> None:
    number = begun(database)
    both = [Part("all", "only", name, {}) for name in ("a", "b")]
    with database.begin() as connection:
        parts.add(connection, number, both)
        assert parts.begin(connection, number, both, holder="x") == {"a": 1, "b": 1}
        parts.finish(connection, number, "only", {"a": {"result": 1}})
        parts.finish(connection, number, "only", {"a": {"result": 2}})
        assert parts.begin(connection, number, both, holder="y") == {"b": 2}
        assert parts.outcomes(connection, number, "all", "only") == {"a": {"result": 1}}


@pytest.mark.parametrize(("job", "left"), [("ingestion", {}), ("training", {"a": {"result": 1}})])
def test_a_run_forgets_the_parts_of_the_same_jobs_earlier_runs(database: Database, job: str, left: object) -> None:
    old = begun(database)
    with database.begin() as connection:
        parts.add(connection, old, [Part("all", "only", "a", {})])
        parts.finish(connection, old, "only", {"a": {"result": 1}})
        parts.forget(connection, runs.start(connection, job, None, holder="a test"))
        assert parts.outcomes(connection, old, "all", "only") == left


def test_parts_go_with_their_run(database: Database) -> None:
    number = begun(database)
    with database.begin() as connection:
        parts.add(connection, number, [Part("all", "only", "a", {})])
        runs.finish(connection, number, state="failed", exit_code=1)
        nothing = timedelta()
        prune(connection, RetentionPolicy(nothing, nothing, nothing), dry_run=False)
        assert connection.execute(text("SELECT count(*) FROM run_part")).scalar() == 0
