"""The exporter: the state of the tables as Prometheus' metrics, read anew at every scrape.

Jobs are short and pods come and go; what they did is in the tables. So nothing is pushed, and a value is never older
than the scrape. Two things take too long for that, and are looked at beside it: live scores, which only a new candle
changes, and the ledger's chain. Where the database is away, only that is said.
"""

from __future__ import annotations

import errno
import logging
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from candlecast import metrics
from candlecast.errors import ConfigurationError, StoreUnavailable
from candlecast.metrics import Measured
from candlecast.settings import Settings
from candlecast.store.database import Database, open_database
from candlecast.store.state import read_state
from monitoring.background import Background
from monitoring.gauges import Values, values
from monitoring.watches import LedgerWatch, QualityWatch

log = logging.getLogger(__name__)

_QUALITY_PAUSE = 5.0
_LEDGER_PAUSE = 60.0


class TableState(Collector):
    """What the tables say about the active series, their sources, the jobs, the models and the ledger."""

    def __init__(self, settings: Settings, database: Database, quality: QualityWatch, ledger: LedgerWatch) -> None:
        self._settings, self._database = settings, database
        self._quality, self._ledger = quality, ledger
        self._away = False

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the state, or only that the database is away."""
        try:
            state = read_state(self._database, self._settings.series)
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
        for metric, found in values(state, self._quality.quality, self._ledger.checked):
            yield _filled(metric, found)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the database."""
        return []


def export(settings: Settings) -> int:
    """Serve `/metrics`, and `/livez` for probes, until SIGTERM or Ctrl-C; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_database(settings)) as database:
        quality, ledger = QualityWatch(settings, database), LedgerWatch(database)
        registry = CollectorRegistry()
        registry.register(TableState(settings, database, quality, ledger))
        with _server(settings, _routes(make_wsgi_app(registry))) as server, _watched(quality, ledger):
            thread = threading.Thread(target=server.serve_forever, name="exporter", daemon=True)
            thread.start()
            log.info("exporting on %s:%d", settings.exporter_host, settings.exporter_port)
            stop.wait()
            server.shutdown()
    return 0


@contextmanager
def _watched(quality: QualityWatch, ledger: LedgerWatch) -> Iterator[None]:
    threads = (
        Background("live scores", quality.look, _QUALITY_PAUSE),
        Background("the ledger's check", ledger.look, _LEDGER_PAUSE),
    )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop()


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


def _filled(metric: Measured, found: Values) -> Metric:
    family = metric.family()
    for labels, value in found.items():
        family.add_metric(list(labels), value)
    return family
