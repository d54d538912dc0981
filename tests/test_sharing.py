"""One run, several real processes: every part is done, by one of them, whoever dies."""

import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import text

from candlecast.jobs import Run, run_job
from candlecast.settings import load_settings
from candlecast.sharing import MOST_TRIES, Lane
from candlecast.store import runs
from candlecast.store.database import Database, is_locked
from candlecast.store.parts import Part
from candlecast.store.runs import RunRow
from tests.programs import running
from tests.toiling import JOB, NAMES, PHASES, done, held
from tests.waiting import eventually

Process = subprocess.Popen[bytes]


class Start(Protocol):
    """Starts the process of that index, of so many."""

    def __call__(self, index: int, parallelism: int = 3) -> Process: ...


PARTS = Counter(f"{phase} {name}" for phase in PHASES for name in NAMES)


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def process(index: int, parallelism: int = 3) -> Process:
            settings = {"CANDLECAST_INGESTION_PARALLELISM": str(parallelism), "CANDLECAST_JOB_INDEX": str(index)}
            command = [sys.executable, "-m", "tests.toiling", str(tmp_path)]
            log = tmp_path / f"log-{index}-{len(list(tmp_path.glob('log-*')))}"
            return stack.enter_context(running(command, environment | settings, log))

        yield process


def rows(database: Database) -> list[RunRow]:
    with database.begin() as connection:
        return [row for row in runs.recent(connection, limit=10, job=JOB) if row.id is not None]


def parts(folder: Path) -> Counter[str]:
    return Counter(part for part, _ in done(folder))


def hold(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"hold-{name}").touch()


def release(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"hold-{name}").unlink()


def stopped_between_transactions(process: Process, database: Database) -> bool:
    """Stop a process, unless some process is writing just now: its locks of rows would hold up all others."""
    process.send_signal(signal.SIGSTOP)
    with database.begin() as connection:
        writing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
        if connection.execute(text(writing)).scalar() == 0:
            return True
    process.send_signal(signal.SIGCONT)
    return False


def codes(*processes: Process) -> list[int]:
    return [process.wait(60) for process in processes]


def test_three_processes_do_every_part_once_in_one_run(start: Start, database: Database, tmp_path: Path) -> None:
    hold(tmp_path, *NAMES[:3])
    all_three = [start(index) for index in range(3)]
    eventually(lambda: all(held(tmp_path, name) for name in NAMES[:3]))
    release(tmp_path, *NAMES[:3])
    assert codes(*all_three) == [0, 0, 0]
    assert parts(tmp_path) == PARTS
    phases = [part.split()[0] for part, _ in done(tmp_path)]
    assert phases == sorted(phases)
    (row,) = rows(database)
    assert (row.state, row.message) == ("succeeded", "12 parts of 12")
    assert (row.done, row.target, row.rows) == (24, 24, 2 * sum(range(12)))
    assert f"pid {all_three[0].pid}" in str(row.holder)


def test_what_a_killed_process_left_is_done_by_another(start: Start, database: Database, tmp_path: Path) -> None:
    hold(tmp_path, *NAMES)
    leader, killed, other = (start(index) for index in range(3))
    left = eventually(lambda: [name for name in NAMES if killed.pid in held(tmp_path, name)])
    eventually(lambda: [name for name in NAMES if other.pid in held(tmp_path, name)])
    killed.kill()
    release(tmp_path, *NAMES)
    assert codes(leader, other) == [0, 0]
    assert parts(tmp_path) == PARTS
    assert {f"first {name}" for name in left} <= {part for part, pid in done(tmp_path) if pid != killed.pid}
    assert [(row.state, row.done) for row in rows(database)] == [("succeeded", 24)]


@pytest.mark.slow
def test_a_process_that_is_told_to_end_ends_with_75_and_leaves_its_part_to_another(
    start: Start, database: Database, tmp_path: Path
) -> None:
    hold(tmp_path, *NAMES)
    leader, told = start(0), start(1)
    eventually(lambda: any(told.pid in held(tmp_path, name) for name in NAMES))
    told.send_signal(signal.SIGTERM)
    assert told.wait(30) == 75
    release(tmp_path, *NAMES)
    assert codes(leader) == [0]
    assert {pid for _, pid in done(tmp_path)} == {leader.pid}
    assert [row.state for row in rows(database)] == ["succeeded"]


@pytest.mark.slow
def test_without_its_leader_a_run_is_nobodys_and_the_next_one_does_all_of_it(
    start: Start, database: Database, tmp_path: Path
) -> None:
    hold(tmp_path, *NAMES)
    leader, first, second = (start(index) for index in range(3))
    eventually(lambda: len({pid for name in NAMES for pid in held(tmp_path, name)}) == 3)
    leader.kill()
    assert codes(first, second) == [0, 0]
    assert done(tmp_path) == []
    release(tmp_path, *NAMES)
    assert codes(start(0), start(1)) == [0, 0]
    assert parts(tmp_path) == PARTS
    assert [(row.state, row.error_code) for row in rows(database)] == [("succeeded", None), ("failed", "lost")]


@pytest.mark.slow
def test_a_process_of_an_earlier_run_blocks_its_own_part_alone(
    start: Start, database: Database, tmp_path: Path
) -> None:
    hold(tmp_path, *NAMES)
    old_leader, old = start(0), start(1)
    held_by_old = eventually(lambda: [name for name in NAMES if old.pid in held(tmp_path, name)])
    eventually(lambda: stopped_between_transactions(old, database))
    old_leader.kill()
    release(tmp_path, *NAMES)
    leader = start(0)
    # It holds a second part, which it had not come to when it was stopped.
    eventually(lambda: len(done(tmp_path)) == len(NAMES) - 2)
    with database.begin() as connection:
        assert is_locked(connection, f"candlecast:{JOB}:first {held_by_old[0]}")
    assert f"first {held_by_old[0]}" not in parts(tmp_path)
    old.send_signal(signal.SIGCONT)
    assert codes(leader, old) == [0, 0]
    assert set(parts(tmp_path)) == set(PARTS)
    assert [row.state for row in rows(database)] == ["succeeded", "failed"]


def test_where_nobody_leads_there_is_nothing_to_take_part_in(start: Start, database: Database, tmp_path: Path) -> None:
    (tmp_path / "impatient").touch()
    assert codes(start(1)) == [0]
    assert rows(database) == []


def test_who_comes_after_its_own_jobs_leader_has_ended_waits_for_nobody(start: Start, database: Database) -> None:
    with database.begin() as connection:
        # What the pod with index 0 is called where the one with index 1 has this machine's name and a number.
        number = runs.start(connection, JOB, None, holder=f"{socket.gethostname()}-0 pid 7")
        runs.finish(connection, number, state="succeeded", exit_code=0)
    assert start(1).wait(30) == 0


@pytest.mark.slow
def test_a_cancelled_run_ends_for_all(start: Start, database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        request = runs.ask(connection, JOB, {}, requested_by="ann")
    hold(tmp_path, *NAMES)
    all_three = [start(index) for index in range(3)]
    eventually(lambda: len({pid for name in NAMES for pid in held(tmp_path, name)}) == 3)
    with database.begin() as connection:
        runs.cancel(connection, request)
    assert codes(*all_three) == [0, 0, 0]
    assert [(row.state, row.message) for row in rows(database)] == [("cancelled", "stopped as asked")]


@pytest.mark.parametrize(("wish", "code"), [("fail", 75), pytest.param("raise", 78, marks=pytest.mark.slow)])
def test_what_goes_wrong_reads_the_same_however_many_processes_there_are(
    start: Start, database: Database, tmp_path: Path, wish: str, code: int
) -> None:
    (tmp_path / f"{wish}-part4").touch()
    assert codes(start(0, 1)) == [code]
    hold(tmp_path, "part0", "part1")
    together = [start(0), start(1)]
    eventually(lambda: {one.pid for one in together} == {pid for n in (0, 1) for pid in held(tmp_path, f"part{n}")})
    release(tmp_path, "part0", "part1")
    assert codes(*together)[0] == code
    shared, alone = rows(database)
    assert (shared.state, shared.exit_code, shared.error_code) == ("failed", code, alone.error_code)
    assert (shared.error, shared.message) == (alone.error, alone.message)
    assert "part4" in str(shared.error)


def test_a_part_that_ends_whoever_begins_it_fails_by_its_name(database: Database, database_url: str) -> None:
    def lead(run: Run) -> str:
        def work(_: Sequence[Part]) -> dict[str, str]:
            with database.begin() as connection:
                connection.execute(text("UPDATE run_part SET tries = :tries WHERE name = 'b'"), {"tries": MOST_TRIES})
            return {"a": "done"}

        assert Lane(run, "all", work, at_once=1, parallelism=2).share("only", {"a": {}, "b": {}}) == {"a": "done"}
        return "ended"

    assert run_job(JOB, load_settings(database_url=database_url), lead) == 1
    (row,) = rows(database)
    assert str(row.error).startswith("b: 3 processes began b and none came to its end")
