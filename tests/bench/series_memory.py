"""How much memory a worker needs for one more series: its window, its forecasts, and its answers as bytes.

A worker with a champion serves some series, then many more; every answer of every series is asked for, in both
encodings. What counts is the growth of the process' resident memory for each series that was added.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psutil

from candlecast.candles import Interval, Series, Symbol
from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks
from candlecast.store.database import Database
from service.board import Board
from service.ready import ReadyAnswers
from tests.bench.ours import database_in
from tests.making import make_candles
from tests.service.versions import fitted, promote, register

MOST_KILOBYTES = 200.0
_VENUE, _INTERVAL = "replay", Interval.M1
_WARM = 50  # series that are served before it is measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a series takes more than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--series", type=int, default=500, help="how many are added")
    options = parser.parse_args(arguments)
    names = [Series(_VENUE, Symbol(f"S{number}", "USDT"), _INTERVAL) for number in range(_WARM + options.series)]
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name, database_in(Path(name)) as database:
        kilobytes = _measure(database, names)
    verdict = "kept" if kilobytes < MOST_KILOBYTES else "NOT KEPT"
    _say(f"memory per additional series: {kilobytes:.0f} kB over {options.series} of them")
    _say(f"{verdict}: below {MOST_KILOBYTES:.0f} kB")
    return verdict != "kept"


def _measure(database: Database, names: Sequence[Series]) -> float:
    """Return by how many kilobytes a worker grows for each series after the first `_WARM`."""
    promote(database, register(database, "champion", names[0], fitted(names[0])))
    board = Board(_settings(database.address, names[:_WARM]), database)
    answers = ReadyAnswers(board)
    _serve(database, board, answers, names[:_WARM])
    before = _resident()
    board.settings = _settings(database.address, names)
    _serve(database, board, answers, names)
    return (_resident() - before) / (len(names) - _WARM) / 1000


def _settings(url: str, names: Sequence[Series]) -> Settings:
    return load_settings(database_url=url, series=",".join(map(str, names)), max_series=len(names))


def _serve(database: Database, board: Board, answers: ReadyAnswers, names: Sequence[Series]) -> None:
    """Store a window of every series that has none, let the board speak, and ask for every answer."""
    candles = make_candles(600, _INTERVAL)
    with database.begin() as connection:
        clocks.start_clock(connection, _VENUE, start=candles.cutoff + timedelta(seconds=1), speed=1e-9)
        known = candle_store.newest_close_times(connection)
        candle_store.add_series(connection, names)
    for series in names:
        if series not in known:
            with database.begin() as connection:
                candle_store.upsert(connection, series, candles, source="bench", now=candles.cutoff)
    board.refresh()
    for series in names:
        if board.series[series].champion is None or len(board.series[series].said) < len(board.settings.horizons):
            raise RuntimeError(f"the champion said nothing about {series}")
        for horizon in board.settings.horizons:
            for encoding in (b"", b"gzip"):
                answers.find((series, horizon)).answer(None, encoding)


def _resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
