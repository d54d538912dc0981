"""`python -m tests.bench.sharing`: what one process of ingestion carries, and what several that share a run carry.

Two cases through the real programs. `usual`: an exchange that takes a while for each answer has one new candle of every
series; how many series a second? `backfill`: the simulated market's past into an empty table; how many rows a second?
Seconds are those of the run's row; processor time is that of all processes of the run, their start included; memory is
the most that one of them held. No floor: it is for `docs/scaling.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

from sqlalchemy import text

from candlecast.candles import Interval, Series, Symbol
from candlecast.store import runs
from candlecast.store.database import Database
from candlecast.store.embedded import embedded_url
from candlecast.store.migrate import migrate
from candlecast.venues.simulated import START_PRICES
from tests.making import START, make_candles
from tests.programs import ROOT
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import Fault, Reply, Request, complete

_FIRST = 100  # candles of each series that are there before the usual run
_STEP = Interval.M15.delta


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took."""

    seconds: float
    rows: int
    processor: float
    megabytes: float

    def __str__(self) -> str:
        return f"in {self.seconds:.1f} s, {self.processor:.1f} s of processors, {self.megabytes:.0f} MB at most"


class FarExchange(BinanceServer):
    """An exchange whose answers need `delay` seconds to arrive."""

    delay = 0.0

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        """Answer after a while."""
        Event().wait(self.delay)
        return super().answer(request, fault)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sharing", description=__doc__.partition("\n")[0])
    parser.add_argument("--series", type=int, default=200, help="of the usual run")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds that an exchange needs for an answer")
    parser.add_argument("--days", type=int, default=30, help="of nine 1m series that are backfilled")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as folder:
        url = embedded_url(Path(folder))
        with closing(Database(url, url)) as database:
            migrate(database)
            for processes in options.processes:
                usual = _usual(database, options.series, options.delay, processes, options.rounds)
                backfill = _backfill(database, options.days, processes)
                _say(f"{processes}, a new candle each: {options.series / usual.seconds:.0f} series a second, {usual}")
                _say(f"{processes}, backfill: {backfill.rows / backfill.seconds:,.0f} rows a second, {backfill}")
    return 0


def _usual(database: Database, count: int, delay: float, processes: int, rounds: int) -> Taken:
    """Return the quickest of some runs with a new candle each."""
    names = [Series("binance", Symbol(f"S{number}", "USDT"), Interval.M15) for number in range(count)]
    truth = complete(make_candles(_FIRST + rounds + 1))
    now = [START + _FIRST * _STEP]
    with FarExchange(dict.fromkeys(names, truth), lambda: now[0]) as exchange, _emptied(database):
        settings = {
            "CANDLECAST_BINANCE_URL": exchange.url,
            "CANDLECAST_SERIES": ",".join(map(str, names)),
            "CANDLECAST_MAX_SERIES": str(count),
            "CANDLECAST_BACKFILL_DAYS": str(_FIRST * _STEP / timedelta(days=1)),
        }
        exchange.weight_limit = 10**6
        _run(database, settings, 1)
        exchange.delay = delay
        taken = []
        for _ in range(rounds):
            now[0] += _STEP
            taken.append(_run(database, settings, processes))
    assert {one.rows for one in taken} == {count}
    return min(taken, key=lambda one: one.seconds)


def _backfill(database: Database, days: int, processes: int) -> Taken:
    names = [f"simulated:{base}-USDT:1m" for base in START_PRICES]
    with _emptied(database):
        return _run(database, {"CANDLECAST_SERIES": ",".join(names), "CANDLECAST_BACKFILL_DAYS": str(days)}, processes)


@contextmanager
def _emptied(database: Database) -> Iterator[None]:
    """Throw all candles away at the end, and what is known of them."""
    yield
    with database.begin() as connection:
        connection.execute(text("TRUNCATE candle, confirmed_gap, series_audit"))


def _run(database: Database, settings: Mapping[str, str], processes: int) -> Taken:
    """Run ingestion once; raise where it does not succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    environment |= {
        **settings,
        "CANDLECAST_DATABASE_URL": database.address,
        "CANDLECAST_BINANCE_ARCHIVE_URL": "",
        "CANDLECAST_COINGECKO_URL": "",
        "CANDLECAST_INGESTION_PARALLELISM": str(processes),
        "CANDLECAST_LOG_LEVEL": "ERROR",
    }
    # Those that take part first: they wait for the one that leads.
    started = [
        subprocess.Popen([sys.executable, "-m", "ingestion_job"], env=environment | _index(number), cwd=ROOT)
        for number in reversed(range(processes))
    ]
    ended = [os.wait4(process.pid, 0) for process in started]
    with database.begin() as connection:
        row = runs.newest(connection, "ingestion")
    if row is None or row.state != "succeeded" or not (row.started_at and row.finished_at):
        raise RuntimeError(f"ingestion did not succeed: {row}")
    usages = [usage for _, _, usage in ended]
    return Taken(
        (row.finished_at - row.started_at).total_seconds(),
        row.rows,
        sum(usage.ru_utime + usage.ru_stime for usage in usages),
        max(usage.ru_maxrss for usage in usages) / 1000,  # kilobytes
    )


def _index(number: int) -> dict[str, str]:
    return {"CANDLECAST_JOB_INDEX": str(number)}


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


if __name__ == "__main__":
    sys.exit(main())
