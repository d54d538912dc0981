"""Which model version answers when one is promoted that cannot: the one before, and everybody can see why."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from sqlalchemy import text

from candlecast.candles import Interval
from candlecast.settings import Settings
from candlecast.store.database import Database
from service import answers
from service.board import Board
from tests.service.house import BTC, REPLAYED, House, begin, service_environment, serving
from tests.service.versions import Made, fitted, mend, promote, register, spoil
from tests.waiting import eventually

KIND = ("replay", Interval.M15)
UNSOUND: dict[str, tuple[Callable[[Made], Made], str]] = {
    "other": (Made.of_other_features, "the model was fitted on features 000000000000, this code builds"),
    "no-number": (Made.of_no_number, "the model does not load"),
    "nonsense": (Made.of_nonsense, "a forecast's prices are finite numbers"),
}


def _answering(board: Board) -> str | None:
    return board.series[REPLAYED].champion


def _refused(board: Board) -> tuple[str | None, str | None]:
    (found,) = (one for one in answers.answering(board) if one.venue == "replay")
    return found.refused, found.reason


def _metric() -> float:
    pattern = r'^candlecast_champion_refused\{interval="15m",venue="replay"\} (\S+)$'
    found = re.search(pattern, generate_latest().decode(), re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_champion_never_replaces_one_that_works(
    board: Board, database: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    sound = fitted(REPLAYED)
    promote(database, register(database, "good", REPLAYED, sound))
    board.refresh()
    assert (_answering(board), _refused(board), _metric()) == ("good", (None, None), 0)

    spoil_it, reason = UNSOUND[name]
    unsound = register(database, name, REPLAYED, spoil_it(sound))
    promote(database, unsound)
    with caplog.at_level(logging.ERROR):
        board.refresh()
    assert _answering(board) == "good"
    refused, said = _refused(board)
    assert refused == name
    assert reason in (said or "")
    assert _metric() == 1
    assert f"champion {name} is refused" in caplog.text
    with database.begin() as connection:
        spoke = connection.execute(text("SELECT DISTINCT model_version FROM forecast ORDER BY 1")).scalars().all()
    assert spoke == ["good", "naive"]


def test_a_refused_champion_is_tried_again_only_when_it_is_promoted_anew(board: Board, database: Database) -> None:
    promote(database, register(database, "good", REPLAYED, fitted(REPLAYED)))
    board.refresh()
    damaged = register(database, "damaged", REPLAYED, fitted(REPLAYED))
    spoil(database, "damaged")
    promote(database, damaged)
    board.refresh()
    assert (_answering(board), _refused(board)[0], _metric()) == ("good", "damaged", 1)
    mend(database, "damaged", fitted(REPLAYED))
    board.refresh()
    assert (_answering(board), _refused(board)[0]) == ("good", "damaged")
    promote(database, damaged)
    board.refresh()
    assert (_answering(board), _refused(board)[0], _metric()) == ("damaged", None, 0)


def test_a_worker_that_starts_beside_a_refused_champion_answers_with_the_one_before(
    board: Board, database: Database, settings: Settings
) -> None:
    for name in ("first", "second"):
        promote(database, register(database, name, REPLAYED, fitted(REPLAYED)))
        board.refresh()
    spoil(database, "second")
    third = register(database, "third", REPLAYED, fitted(REPLAYED).of_other_features())
    promote(database, third)
    started = Board(settings, database)
    started.refresh()
    assert _answering(started) == "first"
    assert _refused(started)[0] == "third"
    assert {one.answer.model_version for one in started.series[REPLAYED].said.values()} == {"first"}


def test_going_back_to_the_version_before_answers_with_what_it_said(board: Board, database: Database) -> None:
    first = register(database, "first", REPLAYED, fitted(REPLAYED))
    promote(database, first)
    board.refresh()
    said = board.series[REPLAYED].said
    promote(database, register(database, "second", REPLAYED, fitted(REPLAYED)))
    board.refresh()
    assert {one.answer.model_version for one in board.series[REPLAYED].said.values()} == {"second"}
    promote(database, first)
    board.refresh()
    assert board.series[REPLAYED].said == said


def test_a_champion_is_tried_even_where_no_series_has_enough_candles(board: Board, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("TRUNCATE candle"))
    promote(database, register(database, "other", REPLAYED, fitted(REPLAYED).of_other_features()))
    board.refresh()
    assert _refused(board)[0] == "other"
    promote(database, register(database, "good", REPLAYED, fitted(REPLAYED)))
    board.refresh()
    assert _refused(board)[0] is None
    assert board.champions.of(KIND) is not None


def test_a_refused_champion_shows_in_the_api_in_metrics_and_in_the_log(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    begin(database, BTC)
    sound = fitted(BTC)
    good = register(database, "good", BTC, sound)
    promote(database, good)
    environment = service_environment(database_url, tmp_path, str(BTC), service_workers="2")
    with serving(environment, database, tmp_path) as house:
        assert house.latest(BTC)["model_version"] == "good"
        damaged = register(database, "damaged", BTC, sound)
        spoil(database, "damaged")
        promote(database, damaged)
        eventually(lambda: _refuses(house, "damaged", "has changed since it was registered"), 30)
        assert house.latest(BTC)["model_version"] == "good"
        assert house.log.read_text().count("champion damaged is refused") == 2, "both workers say so"

        mend(database, "damaged", sound)
        promote(database, damaged)
        eventually(lambda: _answers(house, "damaged"), 10)
        promote(database, good)
        eventually(lambda: _answers(house, "good"), 10)
        eventually(lambda: _shows(house, 0), 10)


def _refuses(house: House, name: str, reason: str) -> bool:
    (found,) = house.get("/v1/status")["answering"]
    assert (found["model_version"], found["refused"]) == ("good", name)
    assert reason in found["reason"]
    assert reason in house.get(f"/v1/models/{name}")["refused"]
    assert house.get("/v1/models/good")["refused"] is None
    assert house.log.read_text().count(f"champion {name} is refused") == 2
    return _shows(house, 1)


def _answers(house: House, name: str) -> bool:
    """Return whether every worker answers with a version: on connections of their own any of them may be asked."""
    for _ in range(10):
        (said,) = house.alone("/v1/forecasts/latest", series=str(BTC), horizon=1).json()["forecasts"]
        assert (said["status"], said["model_version"]) == ("ok", name)
    return True


def _shows(house: House, value: int) -> bool:
    exposed = house.http.get("/metrics").text
    assert f'candlecast_champion_refused{{interval="4h",venue="replay"}} {value}.0' in exposed
    return True
