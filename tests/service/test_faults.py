"""Services on one database while everything happens at once: what is answered is what the ledger holds."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.candles import Series
from candlecast.forecast import LEVELS
from candlecast.store import ledger
from candlecast.store.database import Database
from candlecast.store.migrate import migrate
from candlecast.xgb import XGBForecaster
from tests.ingestion_job.postgres import Postgres
from tests.service.callers import Failure, Heard, Key, callers
from tests.service.house import House
from tests.service.turmoil import BTC, TRUTH, World, every, say_the_newest, services
from tests.service.versions import fitted
from tests.waiting import eventually

_DETECTED = 10.0  # seconds within which every worker knows that the database is away
_LOST = 1.0  # seconds around a kill in which a connection to the worker is lost


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """Return a server of this test's own, that may be stopped."""
    server = Postgres()
    yield server
    server.remove()


def test_callers_hear_only_what_the_ledger_holds_while_workers_die(postgres: Postgres, tmp_path: Path) -> None:
    world, heard, _ = _live_through(postgres, tmp_path, 1, seconds=12, swap=3, kill=(3, 4))
    _check(world, heard)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_false_is_said_for_minutes_and_a_lost_database_is_survived(postgres: Postgres, tmp_path: Path) -> None:
    world, heard, away = _live_through(postgres, tmp_path, 2, seconds=60, swap=10, kill=(2, 6), away=60)
    _check(world, heard)
    begun, ended = away
    meanwhile = [stale for answered_at, stale in heard.stale if begun + _DETECTED < answered_at < ended]
    assert len(meanwhile) > 100
    assert all(meanwhile), "every answer says that it is stale"


def _live_through(
    postgres: Postgres,
    folder: Path,
    count: int,
    *,
    seconds: float,
    swap: float,
    kill: tuple[float, float],
    away: float = 0,
) -> tuple[World, Heard, tuple[float, float]]:
    """Let everything happen to some services; then, where the database goes away, without it, and as long once more.

    At the end everybody is left in peace until all workers know the newest candle.
    """
    database, pause = Database(postgres.url, postgres.url), Event()
    migrate(database)
    world = World.begin(database)
    with services(count, postgres.url, folder) as houses, callers([h.http.base_url for h in houses], 2) as heard:
        with every(lambda: 1.0, world.close_candle), every(lambda: swap, world.change_champion):
            _die(world, houses, kill, seconds, pause)
            # Whoever starts without the database has nothing to answer with.
            eventually(lambda: all(map(world.is_whole, houses)), 120)
            begun = monotonic()
            if away:
                postgres.stop()
                pause.wait(away)
                postgres.start()
                ended = monotonic()
                _die(world, houses, kill, seconds, pause)
        world.close_candle()
        eventually(lambda: say_the_newest(world, houses), 120)
    return world, heard, (begun, ended if away else begun)


def _die(world: World, houses: Sequence[House], kill: tuple[float, float], seconds: float, pause: Event) -> None:
    """Kill workers at random for so long."""

    def kill_one() -> None:
        world.kill_worker(random.choice(houses))  # noqa: S311

    with every(lambda: random.uniform(*kill), kill_one):  # noqa: S311
        pause.wait(seconds)


def _check(world: World, heard: Heard) -> None:
    assert heard.answers > 200
    assert len(heard.told) > 15
    assert len(world.kills) >= 2
    assert [failure for failure in heard.failures if not _is_of_a_kill(failure, world)] == []
    with world.database.begin() as connection:
        rows = connection.execute(text(_ROWS)).mappings().all()
        assert ledger.verify(connection).intact
    held = {(row["series"], row["horizon"], row["cutoff"], row["model_version"]): row for row in rows}
    assert len(held) == len(rows), "one row for each series, cutoff, horizon and model version"
    for key, said in heard.told.items():
        assert len(said) == 1, f"two answers for {key}: {said}"
        _is_held(key, json.loads(next(iter(said))), held)
    _are_of_the_candles(rows)


_ROWS = """
SELECT s.venue || ':' || s.symbol || ':' || s.interval AS series, f.*
FROM forecast f JOIN series s ON s.id = f.series_id
"""

Rows = Mapping[tuple[str, int, datetime, str], Any]


def _is_of_a_kill(failure: Failure, world: World) -> bool:
    times = [at for house, at in world.kills if house.http.base_url == failure.server]
    lost = not failure.what[:3].isdigit()
    return lost and any(failure.begun - _LOST < at < failure.ended + _LOST for at in times)


def _is_held(key: Key, said: Mapping[str, Any], held: Rows) -> None:
    """Compare an answer with the ledger, field by field."""
    series, horizon, cutoff, model_version = key
    row = held[series, horizon, datetime.fromisoformat(cutoff), model_version]
    baseline = held[series, horizon, datetime.fromisoformat(cutoff), "naive"]
    assert said["status"] == ("baseline" if model_version == "naive" else "ok")
    assert datetime.fromisoformat(said["target_time"]) == row["target_time"]
    assert datetime.fromisoformat(said["issued_at"]) == row["issued_at"]
    assert said["point"] == {name: row[name] for name in ("open", "high", "low", "close", "range")}
    assert (said["last_close"], said["p_up"]) == (row["last_close"], row["p_up"])
    assert said["quantiles"] == {f"{level:g}": value for level, value in zip(LEVELS, row["quantiles"], strict=True)}
    assert said["intervals"] == _intervals(row["quantiles"])
    assert said["baseline"] == {
        "model_version": "naive",
        "close": baseline["close"],
        "intervals": _intervals(baseline["quantiles"]),
    }


def _intervals(quantiles: Sequence[float]) -> dict[str, dict[str, float]]:
    at = dict(zip(LEVELS, quantiles, strict=True))
    return {
        name: {"lower": at[lower], "upper": at[upper]}
        for name, lower, upper in (("80", 0.1, 0.9), ("95", 0.025, 0.975))
    }


def _are_of_the_candles(rows: Sequence[Any]) -> None:
    """Compare some of the ledger's rows with what their model says of the true candles up to their cutoff."""
    made = fitted(BTC)
    model = XGBForecaster.from_bytes(made.artefacts, made.manifest)
    spoken = [row for row in rows if row["role"] != "baseline"]
    assert {row["role"] for row in spoken} == {"champion", "challenger"}
    for row in random.sample(spoken, min(30, len(spoken))):
        series = Series.parse(row["series"])
        candles = TRUTH[series]
        known = candles.closed(row["cutoff"])
        (expected,) = (one for one in model.forecast(series, known) if one.horizon == row["horizon"])
        assert (row["last_close"], row["close"], row["p_up"]) == (expected.last_close, expected.close, expected.p_up)
        assert tuple(row["quantiles"]) == expected.quantiles
