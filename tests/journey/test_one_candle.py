"""One candle's journey: real candles are replayed, ingested, learned from, forecast, written down, and scored."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from candlecast.candles import Candles, Interval, Series, Symbol
from candlecast.features import FeatureSpec, build_features
from candlecast.jobs import run_job
from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, ledger, models, runs
from candlecast.store.database import Database
from candlecast.venues import open_venue
from candlecast.xgb import XGBForecaster
from ingestion_job.ingest import ingest
from tests.real import real_candles
from tests.shared import SHARED, requires_shared
from tests.waiting import eventually
from training.job import train_models

pytestmark = requires_shared

BTC = Series("replay", Symbol("BTC", "USDT"), Interval.M15)
STEP = BTC.interval.delta
CUTOFF = datetime(2025, 9, 1, tzinfo=UTC)
DAYS = 45
TOLERANCE = 1e-6
"""Training and serving features of one cutoff agree to this, relative; their forecasts are equal."""


def test_one_candle(database: Database, environment: dict[str, str]) -> None:
    settings = _settings(environment)
    truth = real_candles("BTC", BTC.interval, CUTOFF - timedelta(days=DAYS), CUTOFF + timedelta(days=1))
    known = truth.between(CUTOFF - timedelta(days=DAYS), CUTOFF)

    _set_clock(database, CUTOFF + STEP / 2)
    _ingest(settings)
    assert _columns(_stored(database)) == _columns(known), "exactly the closed candles are stored"
    _check_open_candles_are_refused(database, settings, truth)
    _spoil_one_candle(database)
    _ingest(settings, database, start=CUTOFF - timedelta(days=2))
    assert _columns(_stored(database)) == _columns(known), "what the venue says replaces what was stored"

    champion = _train(database, settings)
    with _Service(environment) as service:
        said = _check_forecast(service, database, champion, truth)
        _check_own_candles(service, known, said)
        _check_ledger_is_closed(database)

        _set_clock(database, CUTOFF + STEP * 1.5)
        _ingest(settings)
        _check_next_candle(service, database, truth, said)


def _settings(environment: dict[str, str]) -> Settings:
    environment |= {
        "CANDLECAST_SERIES": str(BTC),
        "CANDLECAST_HORIZONS": "1,5",
        "CANDLECAST_REPLAY_DIR": str(SHARED / "data"),
        "CANDLECAST_BACKFILL_DAYS": str(DAYS),
        "CANDLECAST_REPLAY_SPEED": "1e-9",
    }
    names = ("database_url", "database_direct_url", "series", "horizons", "replay_dir", "backfill_days", "replay_speed")
    return load_settings(**{name: environment[f"CANDLECAST_{name.upper()}"] for name in names})


def _set_clock(database: Database, moment: datetime) -> None:
    """Let the replay's clock show `moment` and stand still."""
    with database.begin() as connection:
        clocks.start_clock(connection, "replay", start=moment, speed=1e-9)
        connection.execute(text("UPDATE venue_status SET clock_start = :moment"), {"moment": moment})


def _ingest(settings: Settings, database: Database | None = None, start: datetime | None = None) -> None:
    if database and start:
        with database.begin() as connection:
            runs.ask(connection, "ingestion", {"start": start.isoformat(), "again": True}, requested_by="journey")
    assert run_job("ingestion", settings, lambda run: ingest(run, settings)) == 0


def _stored(database: Database) -> Candles:
    with database.begin() as connection:
        return candle_store.read(connection, BTC)


def _columns(candles: Candles) -> dict[str, Any]:
    return {name: column.tolist() for name, column in candles.columns().items() if not np.isnan(column[0])}


def _check_open_candles_are_refused(database: Database, settings: Settings, truth: Candles) -> None:
    """Three gates, each enough alone: ingestion does not ask, the venue does not give, the store does not take."""
    with database.begin() as connection:
        clock = clocks.read_clock(connection, "replay")
    venue = open_venue("replay", settings, clock)
    given = Candles.concatenate([page.candles for page in venue.fetch(BTC, CUTOFF - STEP, CUTOFF + 9 * STEP)])
    assert given.cutoff == CUTOFF
    still_open = truth.between(CUTOFF, CUTOFF + STEP)
    with pytest.raises(ValueError, match="not closed"), database.begin() as connection:
        candle_store.upsert(connection, BTC, still_open, source="test", now=clock.now())


def _spoil_one_candle(database: Database) -> None:
    with database.begin() as connection:
        spoil = text("UPDATE candle SET high = high * 2, close = close * 1.5 WHERE open_time = :time")
        assert connection.execute(spoil, {"time": CUTOFF - timedelta(days=1)}).rowcount == 1


def _train(database: Database, settings: Settings) -> str:
    """Train for real; then promote whatever the decision was, because the journey needs somebody who answers."""
    assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    with database.begin() as connection:
        version = next(one for one in models.versions(connection) if one.kind == "xgboost")
        assert version.decision is not None
        assert (models.champions(connection) != {}) == version.decision["promote"]
        models.promote(connection, version, now=CUTOFF, reason="the journey needs a champion")
    return version.id


def _check_forecast(service: "_Service", database: Database, champion: str, truth: Candles) -> dict[str, Any]:
    """The answer is the champion's, it is in the ledger, and training's own calculation says the same."""
    first, fifth = eventually(lambda: service.answers(CUTOFF, champion))
    assert (first["status"], first["horizon"], fifth["horizon"]) == ("ok", 1, 5)
    assert first["target_time"] == _text(CUTOFF + STEP)
    assert first["cutoff"] <= first["issued_at"] < first["target_time"]
    assert first["last_close"] == truth.close[len(truth.between(truth.cutoff - timedelta(days=99), CUTOFF)) - 1]
    with database.begin() as connection:
        (row,) = ledger.read(connection, BTC, 1, roles=["champion"])
        forecaster = XGBForecaster.from_bytes(
            models.read_artefacts(connection, champion), models.version(connection, champion).manifest
        )
        assert ledger.length(connection) == 4, "champion and baseline, one candle and five ahead"
    assert first["point"]["close"] == row.entry.forecast.close
    assert first["quantiles"]["0.5"] == row.entry.forecast.quantiles[6]

    # The whole history with a day of future behind it: neither may change what is said at the cutoff.
    future = int((truth.cutoff - CUTOFF) / STEP)
    at_cutoff = forecaster.forecast(BTC, truth, last=future + 1)[0]
    assert at_cutoff == row.entry.forecast
    spec = FeatureSpec(BTC.interval)
    whole = build_features(truth, 0.0)[len(truth) - future - 1]
    served = build_features(truth[len(truth) - future - spec.window : len(truth) - future], 0.0)[-1]
    np.testing.assert_allclose(served, whole, rtol=TOLERANCE)
    return first


def _check_own_candles(service: "_Service", known: Candles, said: dict[str, Any]) -> None:
    """A caller who brings the same 512 candles gets the same forecast."""
    columns = {name: column.tolist() for name, column in known[-512:].columns().items()}
    columns["open_time"] = known[-512:].open_time.astype(np.int64).tolist()
    names = ("open_time", "open", "high", "low", "close", "volume")
    body = {"series": str(BTC), "interval": "15m", "horizons": [1], "candles": {name: columns[name] for name in names}}
    (computed,) = service.post("/v1/forecasts", body)["forecasts"]
    for name in ("cutoff", "target_time", "point", "p_up", "quantiles", "intervals", "model_version"):
        assert computed[name] == said[name], name


def _check_ledger_is_closed(database: Database) -> None:
    for statement in ("UPDATE forecast SET close = close + 1", "DELETE FROM forecast"):
        with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
            connection.execute(text(statement))
    with database.begin() as connection:
        assert ledger.verify(connection).intact


def _check_next_candle(service: "_Service", database: Database, truth: Candles, said: dict[str, Any]) -> None:
    """The next candle brings the next forecast, and the error of the one before it."""
    first, _ = eventually(lambda: service.answers(CUTOFF + STEP, said["model_version"]))
    came = float(truth.between(CUTOFF, CUTOFF + STEP).close[0])
    assert first["last_close"] == came
    said_so_far = service.get("/v1/forecasts", series=str(BTC), horizon=1)["forecasts"]
    rows = [row for row in said_so_far if row["origin"] == "live"]
    assert [(row["cutoff"], row["realised_close"]) for row in rows] == [
        (_text(CUTOFF), came),
        (_text(CUTOFF + STEP), None),
    ]
    with database.begin() as connection:
        errors = connection.execute(text("SELECT role, error, naive_absolute_error FROM forecast_error")).all()
        assert ledger.length(connection) == 8
    by_role = {row.role: row for row in errors}
    assert len(errors) == 2
    assert by_role["champion"].error == said["point"]["close"] - came == rows[0]["error"]
    assert by_role["baseline"].error == said["last_close"] - came
    assert by_role["champion"].naive_absolute_error == abs(said["last_close"] - came)


class _Service:
    """`python -m service` on a free port."""

    def __init__(self, environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._environment = environment | {"CANDLECAST_SERVICE_PORT": str(port)}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def __enter__(self) -> "_Service":
        self._process = subprocess.Popen([sys.executable, "-m", "service"], env=self._environment, cwd=os.getcwd())
        eventually(self._ready, 90)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        return self._http.get(path, params={k: str(v) for k, v in query.items()}).raise_for_status().json()

    def post(self, path: str, body: object) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()

    def answers(self, cutoff: datetime, model_version: str) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = self.get("/v1/forecasts/latest", series=BTC)["forecasts"]
        wanted = [f for f in found if f["cutoff"] == _text(cutoff) and f["model_version"] == model_version]
        return wanted if len(wanted) == 2 else None

    def _ready(self) -> bool:
        assert self._process.poll() is None, "the service ended"
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
