"""The exporter: the state of the tables as Prometheus' metrics, read anew at every scrape.

Jobs are short and pods come and go; what they did is in the tables. So nothing is pushed, nothing is remembered
here, and a value is never older than the scrape. Where the database is away, only that is said.
"""

from __future__ import annotations

import errno
import logging
import math
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from typing import Any, get_args
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from candlecast import metrics
from candlecast.api import JobName
from candlecast.candles import Series
from candlecast.errors import ConfigurationError, StoreUnavailable
from candlecast.metrics import Measured
from candlecast.settings import Settings
from candlecast.store.database import Database, open_database
from candlecast.store.sources import SourceStatus
from candlecast.store.state import State, read_state

log = logging.getLogger(__name__)

Values = dict[tuple[str, ...], float]

_ENDED = ("succeeded", "failed", "cancelled")
_JOBS: tuple[str, ...] = get_args(JobName)


class TableState(Collector):
    """What the tables say about the active series, their sources, the jobs and the models."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._away = False

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the state, or only that the database is away."""
        try:
            state = read_state(self._database, self._settings.series, self._settings.horizons)
        except StoreUnavailable as error:
            if not self._away:
                log.warning("%s; saying so until it is back", error.message)
            self._away = True
            yield _filled(metrics.DATABASE_UP, {(): 0.0})
            return
        if self._away:
            log.info("the database is back")
        self._away = False
        yield _filled(metrics.DATABASE_UP, {(): 1.0})
        for metric, values in _values(state):
            yield _filled(metric, values)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the database."""
        return []


def _values(state: State) -> Iterator[tuple[Measured, Values]]:
    yield from _freshness(state)
    yield from _completeness(state)
    yield from _jobs(state)
    yield from _models(state)
    yield from _live(state)
    yield from _sources(state)


def _freshness(state: State) -> Iterator[tuple[Measured, Values]]:
    lag: Values = {}
    for series in state.active:
        newest = state.newest.get(series)
        now = state.clocks[series.venue].now()
        lag[_labels(series)] = (now - newest).total_seconds() if newest else math.inf
    yield metrics.CANDLE_LAG, lag
    yield metrics.CANDLE_INTERVAL, {_labels(s): float(s.interval.seconds) for s in state.active}


def _completeness(state: State) -> Iterator[tuple[Measured, Values]]:
    audits = {series: state.audits[series] for series in state.active if series in state.audits}
    yield metrics.CANDLES_MISSING, {_labels(series): float(audit.missing) for series, audit in audits.items()}
    confirmed = {_labels(series): float(audit.confirmed) for series, audit in audits.items()}
    yield metrics.CANDLES_CONFIRMED_MISSING, confirmed


def _models(state: State) -> Iterator[tuple[Measured, Values]]:
    kinds = {(series.venue, series.interval) for series in state.active}
    now = {venue: clock.now() for venue, clock in state.clocks.items()}
    age: Values = {
        (one.venue, str(one.interval)): (now[one.venue] - one.created_at).total_seconds()
        for one in state.champions
        if (one.venue, one.interval) in kinds
    }
    yield metrics.CHAMPION_AGE, age
    share, drifted, since = Values(), Values(), Values()
    for kind in kinds & state.drift.keys():
        labels, report = (kind[0], str(kind[1])), state.drift[kind]
        share[labels] = report.summary.share
        drifted[labels] = float(report.summary.drifted)
        since[labels] = (now[report.venue] - report.created_at).total_seconds()
    yield metrics.DRIFT_SHARE, share
    yield metrics.DRIFT_DETECTED, drifted
    yield metrics.DRIFT_AGE, since


def _live(state: State) -> Iterator[tuple[Measured, Values]]:
    live = [one for one in state.live if one.series in state.active]
    yield metrics.LIVE_SCORED, {(*_labels(one.series), str(one.horizon)): float(one.scored) for one in live}
    skill = {
        (*_labels(one.series), str(one.horizon)): 1 - one.error / one.naive_error
        for one in live
        if one.error is not None and one.naive_error
    }
    yield metrics.LIVE_SKILL, skill
    yield metrics.LEDGER_ROWS, {_labels(s): float(state.ledger.get(s, 0)) for s in state.active}


def _sources(state: State) -> Iterator[tuple[Measured, Values]]:
    now = datetime.now(UTC)
    skews: Values = {(one.source,): one.skew.total_seconds() for one in state.sources if one.skew is not None}
    yield metrics.SOURCE_SKEW, skews
    left: Values = {(one.source,): _ban_left(one, now) for one in state.sources}
    yield metrics.SOURCE_BANNED, {source: float(seconds > 0) for source, seconds in left.items()}
    yield metrics.SOURCE_BAN_LEFT, left
    age, disagreements = Values(), Values()
    for one in state.prices:
        labels = str(one.price.symbol), one.price.source
        age[labels] = (now - one.price.priced_at).total_seconds()
        disagreements[labels] = float(one.disagreements)
    yield metrics.PRICE_AGE, age
    yield metrics.PRICE_DISAGREEMENTS, disagreements


def _ban_left(status: SourceStatus, now: datetime) -> float:
    return max(0.0, (status.banned_until - now).total_seconds()) if status.banned_until else 0.0


def _jobs(state: State) -> Iterator[tuple[Measured, Values]]:
    succeeded = {one.job: one for one in state.jobs if one.state == "succeeded"}
    # A job that never succeeded is waited for since there was something to do.
    since = state.known_since or datetime.now(UTC)
    last = {job: (succeeded[job].finished_at if job in succeeded else None) or since for job in _JOBS}
    yield metrics.JOB_LAST_SUCCESS, {(job,): moment.timestamp() for job, moment in last.items()}
    yield (
        metrics.JOB_DURATION,
        {(j,): one.seconds for j, one in succeeded.items() if j in _JOBS and one.seconds is not None},
    )
    runs = Counter({(one.job, one.state): one.runs for one in state.jobs})
    yield metrics.JOB_RUNS, {(job, end): float(runs[job, end]) for job in _JOBS for end in _ENDED}
    yield metrics.JOB_RUNNING, {(job,): float(runs[job, "running"] > 0) for job in _JOBS}
    yield metrics.QUEUE_DEPTH, {(job,): float(state.waiting.get(job, 0)) for job in _JOBS}


def export(settings: Settings) -> int:
    """Serve `/metrics`, and `/livez` for probes, until SIGTERM or Ctrl-C; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_database(settings)) as database:
        registry = CollectorRegistry()
        registry.register(TableState(settings, database))
        with _server(settings, _routes(make_wsgi_app(registry))) as server:
            thread = threading.Thread(target=server.serve_forever, name="exporter", daemon=True)
            thread.start()
            log.info("exporting on %s:%d", settings.exporter_host, settings.exporter_port)
            stop.wait()
            server.shutdown()
    return 0


def _routes(exposition: Any) -> Any:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return exposition(environ, start_response)
        known = path == "/livez"
        start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"ok\n" if known else b"there is /metrics, and /livez for probes\n"]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""


def _server(settings: Settings, app: Any) -> WSGIServer:
    host, port = settings.exporter_host, settings.exporter_port
    try:
        return make_server(host, port, app, _Server, _Quiet)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        raise ConfigurationError(
            f"port {port} is in use; stop what uses it, or choose another: CANDLECAST_EXPORTER_PORT={port + 1}"
        ) from None


def _filled(metric: Measured, values: Values) -> Metric:
    family = metric.family()
    for labels, value in values.items():
        family.add_metric(list(labels), value)
    return family


def _labels(series: Series) -> tuple[str, ...]:
    return series.venue, str(series.symbol), str(series.interval)
