"""`make bench-forecast`: every forecaster beside every yardstick on real candles, written to docs/forecast-quality.md.

The judged span begins on 2025-08-01. Nothing in the repository is tuned on it: settings were chosen on what came
before, and this program only reports. What a contender said about a series is kept under var/, so that a run that was
stopped goes on where it was; candles, code or question that change make it start anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from candlecast.candles import Candles, Interval, Series, Symbol
from candlecast.errors import CandlecastError, ConfigurationError
from candlecast.evaluation import Judged
from candlecast.forecast import Forecast, Forecaster
from candlecast.logs import set_up_logs
from candlecast.market import NOTHING, PART_INTERVALS, KnownCandles
from candlecast.walk import Contender, walk, windows
from candlecast.xgb import XGBForecaster, data_hash
from candlecast.yardsticks.predecessors import RandomForest
from tools.forecast_tables import FitTimes, Walked, report
from training.candle_files import read_series
from training.contenders import DEFAULT, FHS, PERSISTENCE, contenders
from training.own import OURS

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "forecast-quality.md"
START_MARK, END_MARK = "<!-- bench-forecast: start -->", "<!-- bench-forecast: end -->"

JUDGED_FROM = datetime(2025, 8, 1, tzinfo=UTC)
REFIT_EVERY = timedelta(days=30)
BASES = ("BTC", "ETH", "SOL", "XRP", "BNB")
UNSEEN = ("ADA", "LTC")
INTERVALS = (Interval.H1, Interval.M15, Interval.M5)
SEED = 0

_COLUMNS = ("cutoff", "last_close", "close", "quantiles", "p_up", "realised")

log = logging.getLogger("bench")


@dataclass(frozen=True, slots=True)
class Study:
    """One interval: the pooled series, series that no fit sees, all candles, and the windows that are judged."""

    interval: Interval
    pool: tuple[Series, ...]
    unseen: tuple[Series, ...]
    candles: Mapping[Series, Candles]

    @property
    def end(self) -> datetime:
        """Where the candles end."""
        return self.candles[self.pool[0]].cutoff


def load(folder: Path, interval: Interval) -> Study:
    """Read the candles of an interval and of the shorter one inside it; ConfigurationError when some are missing."""
    pool = [_series(base, interval) for base in BASES]
    wanted = {series: _files(folder, series) for series in pool}
    if missing := [str(series) for series, files in wanted.items() if not files]:
        raise ConfigurationError(f"{folder} has no candles of {', '.join(missing)}; name the folder with DATA=")
    extra = [_series(base, interval) for base in UNSEEN]
    if interval in PART_INTERVALS:
        extra += [_series(base, PART_INTERVALS[interval]) for base in (*BASES, *UNSEEN)]
    wanted |= {series: files for series in extra if (files := _files(folder, series))}
    unseen = tuple(series for series in wanted if series.interval == interval and series not in pool)
    return Study(interval, tuple(pool), unseen, read_series(wanted))


def _series(base: str, interval: Interval) -> Series:
    return Series("binance", Symbol(base, "USDT"), interval)


def _files(folder: Path, series: Series) -> list[Path]:
    symbol = f"{series.symbol.base}{series.symbol.quote}"
    return sorted(folder.glob(f"{series.venue}-{symbol}-{series.interval}-202[45]-*.csv.gz"))


class _Pooled:
    """A pooled model that never looks at a series outside its pool, except at the one it is asked about."""

    def __init__(self, model: Forecaster, outside: Iterable[Series]) -> None:
        self._model, self._outside = model, frozenset(outside)
        self.horizons, self.window = model.horizons, model.window

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        inside = {one: those for one, those in known.items() if one not in self._outside or one == series}
        return self._model.forecast(series, candles, last, inside)


def walked(
    study: Study, store: Path, names: Sequence[str] = DEFAULT, *, threads: int = 1, only_stored: bool = False
) -> Walked:
    """Return what the named contenders said, from the store where it is there, else by walking forward.

    The references that scores are relative to are always among them. With `only_stored` nothing is fitted: who has not
    been judged yet is missing.
    """
    known = contenders((*names, PERSISTENCE, FHS), seed=SEED, threads=threads)
    said = {one.name: _said(study, one, store, only_stored) for one in known}
    return Walked(study.interval, study.pool, study.unseen, study.candles, JUDGED_FROM, said)


def _said(study: Study, contender: Contender, store: Path, only_stored: bool) -> dict[Series, dict[int, Judged]]:
    horizons = [1] if contender.name == RandomForest.name else [1, 5]
    asked = study.pool + (study.unseen if contender.name in (OURS, PERSISTENCE, FHS) else ())
    key = _key(study, contender, horizons)
    paths = {
        series: store / str(study.interval) / str(series.symbol) / f"{contender.name}-{key}.npz" for series in asked
    }
    missing = [series for series, path in paths.items() if not path.exists() and not only_stored]
    for group in [missing] if contender.pooled and missing else [[series] for series in missing]:
        splits = windows(JUDGED_FROM, study.end, REFIT_EVERY, horizons, study.interval)
        for series, by_horizon in walk(
            _pooled(study, contender), study.candles, group, horizons, splits, log.info
        ).items():
            _save(paths[series], by_horizon)
    return {series: _load(path, horizons) for series, path in paths.items() if path.exists()}


def _pooled(study: Study, contender: Contender) -> Contender:
    if not contender.pooled:
        return contender
    outside = [series for series in study.candles if str(series.symbol.base) in UNSEEN]

    def fit(history: Mapping[Series, Candles], series: Series, horizons: Sequence[int]) -> Forecaster:
        inside = {one: those for one, those in history.items() if one not in outside}
        return _Pooled(contender.fit(inside, study.pool[0], horizons), outside)

    return Contender(contender.name, fit, contender.says, pooled=True)


def _key(study: Study, contender: Contender, horizons: Sequence[int]) -> str:
    digest = hashlib.sha256(data_hash(study.candles).encode())
    digest.update(repr((JUDGED_FROM, REFIT_EVERY, SEED, list(horizons), contender.name)).encode())
    for path in sorted(_sources(contender)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(contender: Contender) -> list[Path]:
    """Return the files whose change makes what the contender said out of date."""
    library = ROOT / "candlecast"
    if contender.name == OURS:
        return [*library.glob("*.py"), *(library / "xgb").rglob("*.py")]
    own = [library / name for name in ("baseline.py", "evaluation.py", "volatility.py", "walk.py")]
    return own + list((library / "yardsticks").glob("*.py"))


def _save(path: Path, by_horizon: Mapping[int, Judged]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"{name}_{h}": getattr(one, name) for h, one in by_horizon.items() for name in _COLUMNS}
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, **columns)
    unfinished.replace(path)


def _load(path: Path, horizons: Sequence[int]) -> dict[int, Judged]:
    with np.load(path) as stored:
        return {h: Judged(h, *(stored[f"{name}_{h}"] for name in _COLUMNS)) for h in horizons}


def fit_times(study: Study, store: Path) -> FitTimes:
    """Time one fit of the model, both horizons, and one of A's forest, next candle only, on the same candles."""
    key = _key(study, contenders([OURS], seed=SEED, threads=1)[0], [1, 5])
    path = store / f"fit-{key}.json"
    if not path.exists():
        series = study.pool[0]
        own = {series: study.candles[series]}
        ours = _seconds(lambda: XGBForecaster.fit(own, [1, 5], seed=SEED, threads=1))
        forest = _seconds(lambda: RandomForest(own[series], [1], seed=SEED, threads=1))
        path.write_text(json.dumps([len(own[series]), ours, forest]))
    return FitTimes(*json.loads(path.read_text()))


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def write(document: Path, section: str) -> None:
    """Put the section between its two marks in the document, at its end where they are missing."""
    text = document.read_text() if document.exists() else "# Forecast quality\n"
    marked = f"{START_MARK}\n{section}\n{END_MARK}"
    before, start, rest = text.partition(START_MARK)
    _, end, after = rest.partition(END_MARK)
    document.write_text(f"{before}{marked}{after}" if start and end else f"{text.rstrip()}\n\n{marked}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, print the tables and write them down; return the exit code."""
    parser = ArgumentParser(prog="python -m tools.bench_forecast", description=__doc__)
    shared = Path(os.environ.get("CANDLECAST_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--data", type=Path, default=shared / "data", help="folder of candle files")
    parser.add_argument("--store", type=Path, default=ROOT / "var" / "bench-forecast", help="where results are kept")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stored", action="store_true", help="write what is kept under --store and fit nothing")
    parser.add_argument("--intervals", default=",".join(INTERVALS), help="separated by commas (default: %(default)s)")
    parser.add_argument("--forecasters", default=",".join(DEFAULT), help="separated by commas (default: %(default)s)")
    given = parser.parse_args(arguments)
    set_up_logs("INFO")
    names = given.forecasters.split(",")
    try:
        studies = [load(given.data, Interval.parse(one)) for one in given.intervals.split(",")]
        found = [walked(one, given.store, names, threads=given.threads, only_stored=given.stored) for one in studies]
    except CandlecastError as error:
        print(f"bench-forecast: {error.message}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    timed = {OURS, RandomForest.name} <= set(names) and not given.stored
    section = report(found, fit_times(studies[-1], given.store) if timed else None)
    print(section)  # noqa: T201  # the tables are what was asked for
    write(given.out, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
