"""What a scrape reads does not grow with the ledger or with the candles."""

from datetime import timedelta

from sqlalchemy import text

from candlecast.candles import Interval
from candlecast.store import ledger
from candlecast.store.database import Database
from candlecast.store.state import read_state
from tests.monitoring.world import BTC, ETH, fill, spoken
from tests.service.house import NOON, store, walk

_READ = text("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_user_tables")


def test_ten_times_the_forecasts_and_candles_are_read_with_the_same_rows(database: Database) -> None:
    fill(database)
    before = _rows_of_a_scrape(database)
    store(database, BTC, walk(Interval.H1, 6000, end=NOON - timedelta(hours=600)))
    with database.begin() as connection:
        ledger.record(connection, BTC, list(spoken(walk(Interval.H1, 2000, end=NOON), spoken=1800)))
        connection.execute(text("ANALYZE"))
    assert _rows_of_a_scrape(database) < 1.5 * before


def _rows_of_a_scrape(database: Database) -> int:
    begun = _rows_read(database)
    read_state(database, [BTC, ETH])
    return _rows_read(database) - begun


def _rows_read(database: Database) -> int:
    """Return how many rows of tables were read up to now, by the one connection that there is."""
    with database.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with database.begin() as connection:
        found: int = connection.execute(_READ).scalar_one()
    return found
