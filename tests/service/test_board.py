"""What one worker does when the database, a clock or a model misbehaves, without the web around it."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from candlecast.candles import Candles, Interval, Series, to_ms
from candlecast.forecast import Forecast
from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, ledger
from candlecast.store.database import Database
from candlecast.xgb import XGBForecaster
from service.board import Board
from tests.making import make_candles
from tests.service.house import LIVE, REPLAYED
from tests.service.versions import made_of, promote, register


def test_a_venue_clock_that_is_behind_costs_only_its_own_forecasts(
    board: Board, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """By the pod's clock the target lies ahead, by the database's it is past: the database is believed."""
    end = Interval.M1.floor(datetime.now(UTC)) - timedelta(minutes=3)
    live = make_candles(600, Interval.M1, start=end - timedelta(minutes=600))
    with database.begin() as connection:
        clocks.start_clock(connection, "simulated", start=end + timedelta(seconds=5), speed=1.0)
        candle_store.upsert(connection, LIVE, live, source="test", now=end)
    board.refresh()
    assert sorted(board.series[LIVE].said) == [5], "five candles ahead is still in time"
    assert sorted(board.series[REPLAYED].said) == [1, 5]
    assert "too late" in caplog.text
    with database.begin() as connection:
        assert ledger.length(connection) == 3


def test_a_worker_that_starts_too_late_answers_with_what_was_said_in_time(
    board: Board, database: Database, settings: Settings
) -> None:
    board.refresh()
    with database.begin() as connection:
        connection.execute(text("UPDATE venue_status SET clock_start = clock_start + interval '20 minutes'"))
    started = Board(settings, database)
    started.refresh()
    assert started.series[REPLAYED].said == board.series[REPLAYED].said
    assert sorted(started.series[REPLAYED].said) == [1, 5], "the nearer target is past"


def test_a_series_that_makes_no_forecast_does_not_keep_the_others_waiting(board: Board, database: Database) -> None:
    wild = np.tile([1e-300, 1e300], 300)
    end = Interval.M1.floor(datetime.now(UTC))
    candles = Candles.of(
        Interval.M1,
        open_time=to_ms(end) - Interval.M1.milliseconds * np.arange(600, 0, -1),
        **dict.fromkeys(("open", "high", "low", "close"), wild),
        volume=np.ones(600),
    )
    with database.begin() as connection:
        candle_store.upsert(connection, LIVE, candles, source="test", now=end)
    with np.errstate(all="ignore"):
        board.refresh()
    silence = board.series[LIVE].silence
    assert silence is not None
    assert silence.code == "invalid_candles"
    assert sorted(board.series[REPLAYED].said) == [1, 5]
    assert board.reached


def test_a_hole_in_the_window_is_silence_until_it_is_filled(board: Board, database: Database) -> None:
    whole = make_candles(600)
    with database.begin() as connection:
        connection.execute(text("TRUNCATE candle"))
        candle_store.upsert(connection, REPLAYED, whole[:400], source="replay", now=whole.cutoff)
        candle_store.upsert(connection, REPLAYED, whole[401:], source="replay", now=whole.cutoff)
    board.refresh()
    silence = board.series[REPLAYED].silence
    assert silence is not None
    assert silence.code == "gap_in_window"
    assert board.series[REPLAYED].said == {}
    with database.begin() as connection:
        candle_store.upsert(connection, REPLAYED, whole[400:401], source="replay", now=whole.cutoff)
    board.refresh()
    assert board.series[REPLAYED].silence is None
    assert sorted(board.series[REPLAYED].said) == [1, 5]


def test_a_series_that_a_run_added_is_served_by_the_baseline_at_once(board: Board, database: Database) -> None:
    board.refresh()
    added = Series.parse("replay:ETH-USDT:15m")
    assert added not in board.series
    with database.begin() as connection:
        candle_store.ask_series(connection, added)
    board.refresh()
    silence = board.series[added].silence
    assert silence is not None
    assert silence.code == "not_enough_candles"
    candles = make_candles(600, seed=9)
    with database.begin() as connection:
        candle_store.upsert(connection, added, candles, source="replay", now=candles.cutoff)
    board.refresh()
    assert {one.answer.model_version for one in board.series[added].said.values()} == {"naive"}
    assert list(board.series) == [LIVE, REPLAYED, added]


def test_a_first_look_that_fails_is_forgotten(database: Database, database_url: str) -> None:
    """What it had begun to write is undone, so the numbers of series that it read belong to nobody."""
    board = Board(load_settings(database_url=database_url, series=str(REPLAYED)), database)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE venue_status RENAME TO elsewhere"))
    with pytest.raises(ProgrammingError):
        board.refresh()
    candles = make_candles(600)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO venue_status"))
        candle_store.upsert(connection, REPLAYED, candles, source="replay", now=candles.cutoff)
    board.refresh()
    assert board.series[REPLAYED].newest == candles.cutoff


OTHER = Series.parse("replay:ETH-USDT:15m")
PAIR = {REPLAYED: make_candles(1502), OTHER: make_candles(1502, seed=2)}


@cache
def _heedful() -> XGBForecaster:
    return XGBForecaster.fit({series: candles[:1500] for series, candles in PAIR.items()}, [1, 5])


def _pair_board(database: Database, database_url: str, patience: float) -> Board:
    """Return a board of two symbols, which have 1,500 candles each, and of a champion that heeds both."""
    settings = load_settings(database_url=database_url, series=f"{REPLAYED},{OTHER}", market_patience=patience)
    with database.begin() as connection:
        clocks.start_clock(connection, "replay", start=PAIR[REPLAYED].cutoff, speed=1e-9)
    for series in PAIR:
        _arrive(database, series, 1500)
    promote(database, register(database, "heedful", REPLAYED, made_of(_heedful())))
    return Board(settings, database)


def _arrive(database: Database, series: Series, count: int) -> None:
    candles = PAIR[series][:count]
    with database.begin() as connection:
        moment = {"moment": candles.cutoff + timedelta(minutes=1)}
        connection.execute(text("UPDATE venue_status SET clock_start = :moment WHERE venue = 'replay'"), moment)
        candle_store.upsert(connection, series, candles, source="test", now=candles.cutoff)


def _expected(board: Board, count: int, known: int) -> Forecast:
    forecaster = board.forecaster(REPLAYED, Interval.M15).forecaster
    return forecaster.forecast(REPLAYED, PAIR[REPLAYED][:count], known={OTHER: PAIR[OTHER][:known]})[0]


def test_a_forecast_waits_for_the_other_symbols_candle_of_the_same_moment(
    database: Database, database_url: str
) -> None:
    board = _pair_board(database, database_url, patience=600)
    board.refresh()
    assert board.series[REPLAYED].said[1].answer.forecast == _expected(board, 1500, 1500)

    _arrive(database, REPLAYED, 1501)
    board.refresh()
    assert board.series[REPLAYED].said[1].answer.forecast == _expected(board, 1500, 1500), "it waits"
    assert board.waiting is True
    _arrive(database, OTHER, 1501)
    board.refresh()
    heeding, alone = _expected(board, 1501, 1501), _expected(board, 1501, 1500)
    assert heeding != alone
    assert board.series[REPLAYED].said[1].answer.forecast == heeding
    assert board.waiting is False


def test_a_forecast_is_made_without_candles_that_do_not_come(database: Database, database_url: str) -> None:
    board = _pair_board(database, database_url, patience=0)
    board.refresh()
    _arrive(database, REPLAYED, 1501)
    board.refresh()
    assert board.series[REPLAYED].said[1].answer.forecast == _expected(board, 1501, 1500)
    assert not board.waiting


def test_a_forecast_does_not_wait_for_a_series_that_is_far_behind(database: Database, database_url: str) -> None:
    board = _pair_board(database, database_url, patience=600)
    _arrive(database, REPLAYED, 1502)
    board.refresh()
    assert board.series[REPLAYED].said[1].answer.forecast == _expected(board, 1502, 1500)
