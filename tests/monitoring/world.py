"""A database in which everything that the exporter shows has happened, and programs that show it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen

import httpx
import psycopg2
from prometheus_client.parser import text_string_to_metric_families
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy.engine import make_url

from candlecast.candles import Candles, Interval, Price, Series
from candlecast.drift import ColumnDrift, DriftSummary, Window
from candlecast.spans import Span
from candlecast.store import audits, drift, gaps, ledger, models, prices, runs, sources
from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from tests.making import make_forecast
from tests.programs import free_port, running
from tests.service.house import NOON, set_clock, store, walk
from tests.waiting import eventually

BTC, ETH = Series.parse("replay:BTC-USDT:1h"), Series.parse("replay:ETH-USDT:1h")
DAY = timedelta(days=1)
KIND = {"venue": "replay", "interval": "1h"}
HERE = {"venue": "replay", "symbol": "BTC-USDT", "interval": "1h"}

SPOKEN = 150
"""Cutoffs at which a champion and the baseline spoke."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def fill(database: Database) -> None:
    """Let candles arrive, a champion be promoted, speak and be scored, drift be seen, and jobs succeed and fail."""
    set_clock(database, NOON)
    candles = walk(Interval.H1, 600)
    store(database, BTC, candles)
    with database.begin() as connection:
        candle_store.add_series(connection, [ETH])
        models.register_naive(connection)
        version = models.Version("m1", "xgb", "replay", Interval.H1, NOON - 3 * DAY, {}, None, None)
        models.register(connection, version, {}, [])
        models.promote(connection, version, now=NOON - 3 * DAY, reason="a test")
        for name, promote in (("m2", False), ("m3", False), ("m4", True)):
            decided = replace(version, id=name, decision={"promote": promote})
            models.register(connection, decided, {}, [])
        ledger.record(connection, BTC, list(spoken(candles)))
        columns = {str(n): ColumnDrift(0.2 if n < 4 else 0.0, 0.1) for n in range(10)}
        drift.record(
            connection,
            ("replay", Interval.H1),
            DriftSummary("wasserstein", columns),
            reference=Window(NOON - 35 * DAY, NOON - 7 * DAY, 9),
            current=Window(NOON - 7 * DAY, NOON, 9),
            model_version="m1",
            now=NOON - timedelta(minutes=10),
        )
        for job, state, exit_code in (
            ("ingestion", "succeeded", 0),
            ("ingestion", "failed", 75),
            ("training", "succeeded", 0),
            ("drift", "failed", 65),
        ):
            number = runs.start(connection, job, None, holder="a test")
            code = "venue_unavailable" if exit_code == 75 else None
            runs.finish(connection, number, state=state, exit_code=exit_code, error_code=code)
        runs.ask(connection, "training", {}, requested_by="anna")
        after = Span(NOON, NOON + timedelta(hours=3))
        gaps.confirm(
            connection,
            BTC,
            [Span(after.start, NOON + timedelta(hours=1))],
            source="replay",
            evidence="a test",
            now=NOON,
            recheck_at=NOON + DAY,
        )
        audits.record(connection, BTC, NOON - DAY, after.end, now=NOON)
        sources.record_skew(connection, "replay", timedelta(seconds=-1.5))
        sources.ban(connection, "kraken", datetime.now(UTC) + DAY, "too many requests")
        sources.ban(connection, "coinbase", datetime.now(UTC) - DAY, "too many requests")
        close = float(candles.close[-1])
        prices.record(connection, [Price(BTC.symbol, 2 * close, "coingecko", NOON)], tolerance=0.02)


def spoken(candles: Candles, spoken: int = SPOKEN) -> Iterator[Entry]:
    """Yield what a champion, always off by one, and the baseline said at the last cutoffs but the newest."""
    close = candles.close.tolist()
    for ahead in range(spoken, 0, -1):
        cutoff, last, came = candles.cutoff - ahead * Interval.H1.delta, close[-1 - ahead], close[-ahead]
        naive = make_forecast(cutoff, Interval.H1, close=last)
        ours = make_forecast(cutoff, Interval.H1, close=came + 1)
        yield Entry(replace(naive, last_close=last), models.NAIVE, "baseline", cutoff)
        yield Entry(replace(ours, last_close=last), "m1", "champion", cutoff)


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter."""

    process: Popen[bytes]
    http: httpx.Client
    log: Path

    def scrape(self) -> Samples:
        """Return every sample by name and labels."""
        response = self.http.get("/metrics")
        assert response.status_code == 200
        return parse(response.text)


def parse(exposition: str) -> Samples:
    """Return every sample of an exposition; each may be there only once."""
    found: Samples = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            assert not math.isnan(sample.value)
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample."""
    return samples[name, frozenset(labels.items())]


@contextmanager
def exporting(environment: Mapping[str, str], folder: Path, port: int | None = None) -> Iterator[Exporter]:
    """Run `python -m monitoring export` until the end of the block."""
    port, log = port or free_port(), folder / "exporter.log"
    settings = {"CANDLECAST_EXPORTER_PORT": str(port)}
    with (
        running([sys.executable, "-m", "monitoring", "export"], dict(environment) | settings, log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        exporter = Exporter(process, http, log)
        eventually(lambda: _alive(exporter), 60)
        yield exporter


def _alive(exporter: Exporter) -> bool:
    if exporter.process.poll() is not None:
        raise RuntimeError(f"the exporter ended with {exporter.process.returncode}:\n{exporter.log.read_text()}")
    return exporter.http.get("/livez").is_success


def allow_connections(server_url: str, database_url: str, *, allowed: bool) -> None:
    """Let a database go away, for everybody who is connected too, or come back."""
    name = make_url(database_url).database
    connection = psycopg2.connect(server_url)
    connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {str(allowed).lower()}")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    connection.close()
