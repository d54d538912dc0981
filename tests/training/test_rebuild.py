"""A registered version is made again from its manifest, byte for byte, or it is said why not."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store import models
from candlecast.store.database import Database
from candlecast.xgb import XGBForecaster
from tests.making import START, make_candles
from training.__main__ import main

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
PART = Series.parse("replay:BTC-USDT:5m")
SEEN: dict[Series, Candles] = {
    BTC: make_candles(1400),
    ETH: make_candles(1300, seed=2),
    PART: make_candles(4200, Interval.M5, seed=3),
}


@pytest.fixture
def registered(database: Database, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Database:
    monkeypatch.setenv("CANDLECAST_DATABASE_URL", database_url)
    pool = {BTC: SEEN[BTC], ETH: SEEN[ETH]}
    model = XGBForecaster.fit(pool, [1, 5], seed=4, known={PART: SEEN[PART]})
    version = models.Version("made", "xgboost", "replay", Interval.M15, START, model.manifest, None, None)
    with database.begin() as connection:
        for series, candles in SEEN.items():
            # Candles that came after the training are there too.
            more = make_candles(len(candles) + 50, series.interval, seed=9)
            later = more[len(candles) :]
            candle_store.upsert(
                connection, series, Candles.concatenate([candles, later]), source="replay", now=later.cutoff
            )
        models.register_naive(connection)
        models.register(connection, version, model.to_bytes(), [])
    return database


def rebuild(capsys: pytest.CaptureFixture[str], name: str = "made") -> tuple[int, dict[str, Any]]:
    code = main(["rebuild", name])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def change(database: Database, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))


def test_the_same_candles_make_the_same_bytes(registered: Database, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = rebuild(capsys)
    assert (code, answer["same"], answer["differing"], answer["same_settings"]) == (0, True, [], True)
    with registered.begin() as connection:
        held = models.version(connection, "made").manifest["artefacts"]
    assert answer["artefacts"] == held
    assert any(name.startswith("direction-1") for name in held)
    assert all(one["registered"] == one["here"] for one in answer["libraries"].values())


def test_another_seed_is_another_model(registered: Database, capsys: pytest.CaptureFixture[str]) -> None:
    change(registered, "UPDATE model_version SET manifest = jsonb_set(manifest, '{seed}', '5') WHERE id = 'made'")
    code, answer = rebuild(capsys)
    assert (code, answer["same"]) == (70, False)
    assert "direction-1.ubj" in answer["differing"]


@pytest.mark.parametrize(
    ("statement", "code", "named"),
    [
        ("UPDATE candle SET volume = volume + 1 WHERE open_time = '2025-09-05'", 65, "some were corrected"),
        ("DELETE FROM candle WHERE open_time = '2025-09-05'", 65, "has 1399 instead of 1400"),
        (
            "UPDATE model_version SET manifest = jsonb_set(manifest, '{features,fingerprint}', '\"other\"')",
            70,
            "fitted on features other",
        ),
    ],
)
def test_what_cannot_come_out_the_same_is_named(
    registered: Database, capsys: pytest.CaptureFixture[str], statement: str, code: int, named: str
) -> None:
    change(registered, statement)
    assert main(["rebuild", "made"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert named in printed.err


@pytest.mark.parametrize(("name", "code"), [("naive", 64), ("nobody", 65)])
def test_there_is_nothing_to_rebuild(
    registered: Database, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    assert rebuild(capsys, name) == (code, {})
