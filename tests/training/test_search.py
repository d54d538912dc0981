"""Settings are tried on what comes before the hold-out, each try is a row, and the best is what is fitted."""

import json
import sys
from itertools import pairwise

import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Series
from candlecast.jobs import run_job
from candlecast.settings import load_settings
from candlecast.store import candles as candle_store
from candlecast.store import models, trials
from candlecast.store.database import Database
from candlecast.store.trials import Trial
from candlecast.xgb import XGBForecaster
from tests.making import START, make_candles
from training.__main__ import main
from training.job import train_models
from training.search import CHOICES, LOSS, Search, drawn

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
LATER = {BTC: make_candles(1800), ETH: make_candles(1700, seed=2)}
WALKS = {series: candles[:-300] for series, candles in LATER.items()}
END = WALKS[ETH].cutoff


def search(candles: dict[Series, Candles] = WALKS, seed: int = 3) -> Search:
    return Search(candles, {}, [1, 5], END, seed, 1)


@pytest.fixture(scope="module")
def found() -> list[Trial]:
    messages: list[str] = []
    made = search().trials(2, messages.append)
    assert messages == ["tried settings 0 of 2", "tried settings 1 of 2", "tried settings 2 of 2"]
    return made


def test_the_recipe_is_tried_first_and_the_best_is_chosen(found: list[Trial]) -> None:
    assert [one.number for one in found] == [0, 1, 2]
    assert found[0].parameters == {}
    assert [one.parameters for one in found[1:]] == drawn(2, 3)
    (chosen,) = [one for one in found if one.chosen]
    assert chosen.scores[LOSS] == min(one.scores[LOSS] for one in found)
    assert len({one.scores[LOSS] for one in found}) == 3, "settings matter"
    for one in found:
        assert one.seconds > 0
        assert one.seed == 3
        assert 0.5 < one.scores["coverage_80"] < 1


def test_nothing_that_comes_after_the_end_decides(found: list[Trial]) -> None:
    again = search(LATER).trials(2, lambda message: None)
    assert [(one.parameters, one.scores, one.chosen) for one in again] == [
        (one.parameters, one.scores, one.chosen) for one in found
    ]


def test_draws_are_seeded_and_among_the_choices() -> None:
    first = drawn(20, 1)
    assert first == drawn(20, 1) != drawn(20, 2)
    assert first[:5] == drawn(5, 1)
    assert any(a != b for a, b in pairwise(first))
    for one in first:
        assert set(one) == set(CHOICES)
        assert all(value in CHOICES[name] for name, value in one.items())


def test_no_trials_are_asked_for_unless_the_settings_say_so() -> None:
    assert load_settings().train_trials == 0
    assert search().trials(0, lambda message: sys.exit(message)) == []


def test_training_stores_its_trials_and_fits_the_best(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANDLECAST_DATABASE_URL", database_url)
    settings = load_settings(
        database_url=database_url, series=str(BTC), horizons="1", train_trials=2, min_train_candles=1000
    )
    with database.begin() as connection:
        candle_store.upsert(connection, BTC, WALKS[BTC], source="replay", now=WALKS[BTC].cutoff)
    assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    with database.begin() as connection:
        (version,) = models.versions(connection)
        held = trials.read(connection, version.id)
        run = connection.execute(text("SELECT done, target FROM job_run")).one()
    assert [one.number for one in held] == [0, 1, 2]
    (chosen,) = [one for one in held if one.chosen]
    assert version.manifest["tuned"] == chosen.parameters
    assert run.done == run.target
    assert main(["rebuild", version.id]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_tuned_settings_reach_the_trees() -> None:
    plain, deep = (
        XGBForecaster.fit({BTC: WALKS[BTC]}, [1], seed=1, tuned=tuned) for tuned in ({}, {"min_child_weight": 50})
    )
    assert (plain.manifest["tuned"], deep.manifest["tuned"]) == ({}, {"min_child_weight": 50})
    assert plain.to_bytes() != deep.to_bytes()


def test_trials_come_back_as_they_were(database: Database) -> None:
    made = [
        Trial(0, {}, 7, {"pinball_ratio": 0.97}, 1.5, False),
        Trial(1, {"max_depth": 3, "subsample": 0.4}, 7, {"pinball_ratio": 0.96}, 2.5, True),
    ]
    with database.begin() as connection:
        for name in ("one", "two"):
            version = models.Version(name, "xgboost", "replay", BTC.interval, START, {}, None, None)
            models.register(connection, version, {}, [])
        trials.record(connection, "one", made)
        trials.record(connection, "two", [])
        assert trials.read(connection, "one") == made
        assert trials.read(connection, "two") == []
