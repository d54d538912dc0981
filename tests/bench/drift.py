"""`make bench`: how long a comparison of 5,000 rows by 50 columns takes, and how much memory the drift job ever holds.

The comparison is made once to import what it needs, then in turn with and without the page for people; what counts is
the median of one processor's seconds. The job runs as the schedule starts it, on ninety days of five symbols at 5m with
a champion, where nothing is calibrated yet and a page is due: it never has more to do.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np

from candlecast.candles import Candles, Interval, Series
from candlecast.store import models
from candlecast.store.database import Database
from candlecast.xgb import XGBForecaster
from monitoring.drift import compare
from tests.bench.ours import database_in
from tests.programs import ROOT
from tests.service.house import NOON, set_clock, store, walk

ROWS, COLUMNS = 5000, 50
MOST_SECONDS, MOST_MEGABYTES = 1.0, 400

_BASES = ("BTC", "ETH", "SOL", "BNB", "XRP")
_DAYS, _LEARNED = 90, timedelta(days=12)


def fill(database: Database, interval: Interval) -> str:
    """Store ninety days of five symbols and a champion that learned until a day ago; return the series."""
    set_clock(database, NOON)
    count = timedelta(days=_DAYS) // interval.delta
    candles = {
        Series.parse(f"replay:{base}-USDT:{interval}"): walk(interval, count, seed=seed)
        for seed, base in enumerate(_BASES)
    }
    for series, those in candles.items():
        store(database, series, those)
    end = NOON - timedelta(days=1)
    _promote(database, {series: those.between(end - _LEARNED, end) for series, those in candles.items()})
    return ",".join(map(str, candles))


def watch(environment: Mapping[str, str]) -> tuple[float, float]:
    """Run `python -m monitoring drift`; return its seconds and the most MB that it ever held. Raise where it fails."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "monitoring", "drift"], cwd=ROOT, env=dict(environment))
    # Not what the system says of ended children: there the memory of whoever started it counts as its own.
    while process.poll() is None:
        with suppress(OSError):
            peak = max(peak, _most_kibibytes(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"the drift job ended with {process.returncode}; its log is above")
    return time.perf_counter() - start, peak * 1024 / 1e6


def _most_kibibytes(process: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) if found else 0


def _promote(database: Database, candles: Mapping[Series, Candles]) -> None:
    model = XGBForecaster.fit(candles, [1, 5])
    version = models.Version("m1", "xgb", "replay", model.interval, NOON, model.manifest, None, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON, reason="a bench")


def _compare(rounds: int) -> tuple[float, float]:
    """Return the median seconds of one processor for the scores alone, and for the scores with the page."""
    random = np.random.default_rng(1)
    names = [f"f{number}" for number in range(COLUMNS)]
    reference, current = ({name: random.normal(size=ROWS) for name in names} for _ in range(2))
    limits = dict.fromkeys(names, 0.1)
    compare(reference, current, limits)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for with_page, seconds in taken.items():
            start = time.process_time()
            compare(reference, current, limits, with_page=with_page)
            seconds.append(time.process_time() - start)
    return statistics.median(taken[False]), statistics.median(taken[True])


def _job(interval: Interval) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        with database_in(Path(folder)) as database:
            url, series = database.address, fill(database, interval)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
        given = {"DATABASE_URL": url, "DATABASE_DIRECT_URL": url, "DATA_DIR": folder, "SERIES": series}
        return watch(ours | {f"CANDLECAST_{name}": value for name, value in given.items()})


def main() -> int:
    """Measure, print, and return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="comparisons with and without the page (default 5)")
    options = parser.parse_args()
    scores, page = _compare(options.rounds)
    _say(f"{ROWS:,} x {COLUMNS}: scores {scores:.2f} s, with the page {page:.2f} s")
    seconds, peak = _job(Interval.M5)
    _say(f"drift job, five symbols at 5m: {seconds:.1f} s, at most {peak:.0f} MB")
    promises = {
        f"scores of {ROWS:,} x {COLUMNS} below {MOST_SECONDS:g} s": scores < MOST_SECONDS,
        f"the job below {MOST_MEGABYTES} MB": peak < MOST_MEGABYTES,
    }
    for promise, kept in promises.items():
        _say(f"{'kept' if kept else 'NOT KEPT'}: {promise}")
    return 0 if all(promises.values()) else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a command's output


if __name__ == "__main__":
    sys.exit(main())
