"""The challenger in the champion's shadow: written down and scored, never served, and nobody waits for it."""

import logging
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from candlecast.candles import Interval
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import models
from candlecast.store.database import Database
from service import answers
from service.board import Board
from tests.making import START, make_candles
from tests.service.house import REPLAYED
from tests.service.versions import JUDGED, fitted, promote, register, spoil

KIND = ("replay", Interval.M15)


def _shadow(board: Board) -> None:
    while board.speak_in_shadow():
        pass


def _spoken(database: Database) -> Sequence[tuple[str, str, int]]:
    query = "SELECT model_version, role, count(*) FROM forecast WHERE role <> 'baseline' GROUP BY 1, 2 ORDER BY 1, 2"
    with database.begin() as connection:
        return [(*row,) for row in connection.execute(text(query))]


def test_the_newest_judged_version_is_written_down_beside_the_champion_and_never_served(
    board: Board, database: Database
) -> None:
    register(database, "old", REPLAYED, fitted(REPLAYED), JUDGED)
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    register(database, "refused", REPLAYED, fitted(REPLAYED), JUDGED)
    board.refresh()
    before = dict(board.series), board.changes
    _shadow(board)
    assert (dict(board.series), board.changes) == before
    assert _spoken(database) == [("champion", "champion", 2), ("refused", "challenger", 2)]
    (found,) = (one for one in answers.answering(board) if one.venue == "replay")
    assert (found.model_version, found.challenger) == ("champion", "refused")


def test_a_version_that_was_not_judged_or_whose_artefacts_are_gone_is_no_challenger(database: Database) -> None:
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    register(database, "judged", REPLAYED, fitted(REPLAYED), JUDGED)
    with database.begin() as connection:
        assert models.challengers(connection) == {KIND: "judged"}
    register(database, "pruned", REPLAYED, fitted(REPLAYED), JUDGED)
    register(database, "unjudged", REPLAYED, fitted(REPLAYED))
    with database.begin() as connection:
        connection.execute(text("DELETE FROM model_artifact WHERE model_version = 'pruned'"))
        assert models.challengers(connection) == {KIND: "judged"}
        models.promote(connection, models.version(connection, "judged"), now=START, reason="a test says so")
        assert models.challengers(connection) == {}


def test_a_challenger_follows_the_candles_and_a_new_one_speaks_at_once(board: Board, database: Database) -> None:
    whole = make_candles(602)
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    register(database, "first", REPLAYED, fitted(REPLAYED), JUDGED)
    for count in (600, 601):
        with database.begin() as connection:
            connection.execute(text("UPDATE venue_status SET clock_start = :moment"), {"moment": whole[:count].cutoff})
            candle_store.upsert(connection, REPLAYED, whole[:count], source="test", now=whole.cutoff)
        board.refresh()
        _shadow(board)
    assert _spoken(database) == [("champion", "champion", 4), ("first", "challenger", 4)]
    register(database, "second", REPLAYED, fitted(REPLAYED), JUDGED)
    board.refresh()
    _shadow(board)
    assert _spoken(database) == [("champion", "champion", 4), ("first", "challenger", 4), ("second", "challenger", 2)]


def test_a_challenger_that_is_promoted_answers_with_what_it_said_in_the_shadow(
    board: Board, database: Database
) -> None:
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    risen = register(database, "risen", REPLAYED, fitted(REPLAYED), JUDGED)
    board.refresh()
    _shadow(board)
    promote(database, risen)
    board.refresh()
    said = board.series[REPLAYED].said
    assert {(one.answer.model_version, one.answer.role) for one in said.values()} == {("risen", "challenger")}
    assert answers.latest(board, REPLAYED, 1).status == "ok"
    assert _spoken(database) == [("champion", "champion", 2), ("risen", "challenger", 2)]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_challenger_that_fails_costs_the_champion_nothing(
    board: Board, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    register(database, "damaged", REPLAYED, fitted(REPLAYED), JUDGED)
    spoil(database, "damaged")
    board.refresh()
    with caplog.at_level(logging.WARNING):
        _shadow(board)
        _shadow(board)
    assert caplog.text.count("challenger damaged is left out") == 1
    register(database, "nonsense", REPLAYED, fitted(REPLAYED).of_nonsense(), JUDGED)
    board.refresh()
    _shadow(board)
    assert "challenger nonsense is left out" in caplog.text
    assert answers.latest(board, REPLAYED, 1).model_version == "champion"
    assert _spoken(database) == [("champion", "champion", 2)]


def test_the_shadow_can_be_switched_off(board: Board, database: Database, settings: Settings) -> None:
    promote(database, register(database, "champion", REPLAYED, fitted(REPLAYED), JUDGED))
    register(database, "refused", REPLAYED, fitted(REPLAYED), JUDGED)
    quiet = Board(settings.model_copy(update={"shadow_challenger": False}), database)
    quiet.refresh()
    _shadow(quiet)
    assert _spoken(database) == [("champion", "champion", 2)]
