"""`python -m training evaluate`: walk forward over candle files, without a database."""

from __future__ import annotations

import json
import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from candlecast.candles import Candles, Series, to_datetime64
from candlecast.errors import CandlecastError, NotEnoughCandles, UnknownSeries, UsageError
from candlecast.features import WINDOW
from candlecast.settings import Settings
from candlecast.walk import walk, windows
from training.calendars import Calendar, TradingTime, require_daily
from training.candle_files import named_files, read_series
from training.contenders import DEFAULT, FHS, PERSISTENCE, contenders
from training.scoreboard import Scoreboard, comparison_table, document, overall_table

log = logging.getLogger(__name__)

SEED = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be evaluated: cutoffs of `series` with start <= cutoff < end."""

    series: Series
    start: datetime
    end: datetime
    horizon: int
    refit_every: timedelta
    forecasters: tuple[str, ...]
    calendar: Calendar


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--candles",
        action="append",
        required=True,
        metavar="SERIES=FILE",
        help="a CSV file, perhaps .gz, with ts,open,high,low,close,volume; repeat it: files of one series are joined, "
        "all series feed training",
    )
    parser.add_argument("--series", required=True, help="the series to judge, such as binance:BTC-USDT:15m")
    parser.add_argument("--from", dest="start", required=True, help="first cutoff, a date or time (UTC)")
    parser.add_argument("--to", dest="end", help="where cutoffs end, exclusive; left out: with the candles")
    parser.add_argument("--horizon", type=_positive, default=1, help="candles ahead (default 1)")
    parser.add_argument(
        "--refit-every", type=_positive, default=30, metavar="DAYS", help="days between fits (default 30)"
    )
    parser.add_argument(
        "--forecasters", default=",".join(DEFAULT), help="names, separated by commas (default: %(default)s)"
    )
    parser.add_argument("--calendar", choices=[one.value for one in Calendar], default=Calendar.ALWAYS.value)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(arguments: Namespace, settings: Settings) -> int:
    """Print the report and return the exit code. An error ends it; with --json it is printed as JSON, too."""
    try:
        report = _report(arguments, settings)
    except CandlecastError as error:
        if arguments.json:
            _print({"error": {"code": error.code, "message": error.message, **error.details}})
        raise
    if arguments.json:
        _print(report)
    else:
        print(_text(report))  # noqa: T201  # the report is what was asked for
    return 0


def answer(question: Question, candles: Mapping[Series, Candles], *, seed: int = SEED, threads: int = 1) -> Scoreboard:
    """Walk forward and return the scoreboard: the named forecasters, and the references that scores are relative to.

    Raises UsageError for an unknown forecaster, NotEnoughCandles when too few come before the first cutoff.
    """
    series, horizons = question.series, [question.horizon]
    splits = windows(question.start, question.end, question.refit_every, horizons, candles[series].interval)
    time = TradingTime.of(candles[series]) if question.calendar is Calendar.WEEKDAYS else None
    if time:
        candles, splits = time.renumbered(candles), [time.split(split, question.horizon) for split in splits]
    names = dict.fromkeys((*question.forecasters, PERSISTENCE, FHS))
    judged = {
        one.name: walk(one, candles, [series], horizons, splits, log.info)[series][question.horizon]
        for one in contenders(tuple(names), seed=seed, threads=threads)
    }
    unit = mean_move(candles[series], splits[0].train_end)
    if time:
        judged = {name: time.restored(one) for name, one in judged.items()}
    return Scoreboard(judged, series.interval, unit)


def mean_move(candles: Candles, before: datetime) -> float:
    """Return the mean |close - close before| of the candles closed by `before`, 0 when there are fewer than two."""
    close = candles.close[candles.close_time <= to_datetime64(before)]
    return float(np.abs(np.diff(close)).mean()) if len(close) > 1 else 0.0


def _report(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    series, files = named_files(arguments.candles)
    asked = series.get(arguments.series)
    if asked is None:
        raise UnknownSeries(f"no file was given for {arguments.series}; there are {', '.join(series)}")
    candles = read_series(files)
    question = _question(arguments, asked, candles[asked])
    board = answer(question, candles, threads=settings.train_threads)
    cutoffs = board.judged[PERSISTENCE].cutoff
    if not len(cutoffs):
        raise NotEnoughCandles(
            f"no cutoff of {arguments.series} from {arguments.start} on has {WINDOW} unbroken candles before it and a "
            f"target after it: have {len(candles[asked])} candles",
            have=len(candles[asked]),
            need=WINDOW + question.horizon,
        )
    head = {
        "series": arguments.series,
        "horizon": question.horizon,
        "from": question.start.isoformat(),
        "to": question.end.isoformat(),
        "refit_every_days": question.refit_every.days,
    }
    return document(board, question.forecasters, head)


def _question(arguments: Namespace, series: Series, candles: Candles) -> Question:
    calendar = Calendar(arguments.calendar)
    require_daily(series, calendar)
    start = _moment("--from", arguments.start)
    newest = candles.cutoff
    end = _moment("--to", arguments.end) if arguments.end else newest
    if start >= newest:
        raise UsageError(
            f"--from {arguments.start} is not before the last close of {series}, {newest:%Y-%m-%d %H:%M} UTC"
        )
    if end <= start:
        raise UsageError(f"--to {arguments.end} is not after --from {arguments.start}")
    names = tuple(name.strip() for name in arguments.forecasters.split(",") if name.strip())
    contenders(names, seed=SEED, threads=1)
    return Question(
        series, start, min(end, newest), arguments.horizon, timedelta(days=arguments.refit_every), names, calendar
    )


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no date; write it like 2025-08-01 or 2025-08-01T12:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _print(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, indent=2, allow_nan=False))  # noqa: T201  # the report is what was asked for


def _text(report: Mapping[str, Any]) -> str:
    compared = overall_table(report).join(comparison_table(report))
    head = f"{report['series']}, {report['horizon']} ahead, cutoffs {report['from']} to {report['to']}"
    return f"{head}\n{compared.T.to_string()}"
