from datetime import UTC, datetime, timedelta

from candlecast.store import sources
from candlecast.store.database import Database
from candlecast.store.sources import ArchiveDigests

HOUR = timedelta(hours=1)


def test_a_ban_is_remembered_until_it_ends_and_the_longer_one_counts(database: Database) -> None:
    now = datetime.now(UTC)
    with database.begin() as connection:
        assert sources.banned_until(connection, "binance") is None
        sources.ban(connection, "binance", now + 2 * HOUR, "418")
        sources.ban(connection, "binance", now + HOUR, "429")
        sources.ban(connection, "kraken", now - HOUR, "over")
        assert sources.banned_until(connection, "binance") == now + 2 * HOUR
        assert sources.banned_until(connection, "kraken") is None
        found = {status.source: (status.banned_until, status.ban_reason) for status in sources.statuses(connection)}
    assert found == {"binance": (now + 2 * HOUR, "418"), "kraken": (now - HOUR, "over")}


def test_a_new_ban_replaces_one_that_is_over(database: Database) -> None:
    now = datetime.now(UTC)
    with database.begin() as connection:
        sources.ban(connection, "binance", now - HOUR, "long ago")
        sources.ban(connection, "binance", now + HOUR, "again")
        assert [status.ban_reason for status in sources.statuses(connection)] == ["again"]


def test_a_measured_skew_leaves_a_ban_alone(database: Database) -> None:
    until = datetime.now(UTC) + HOUR
    with database.begin() as connection:
        sources.record_skew(connection, "binance", timedelta(seconds=-2.5))
        sources.ban(connection, "binance", until, "418")
        sources.record_skew(connection, "binance", timedelta(seconds=1.5))
        (status,) = sources.statuses(connection)
    assert (status.banned_until, status.skew) == (until, timedelta(seconds=1.5))
    assert status.skew_at is not None
    assert abs(status.skew_at - datetime.now(UTC)) < HOUR


def test_the_digest_of_an_archive_file_is_the_last_one_remembered(database: Database) -> None:
    archive, other = ArchiveDigests(database, "binance_archive"), ArchiveDigests(database, "another")
    assert archive.digest("a.zip") is None
    archive.remember("a.zip", "11")
    archive.remember("a.zip", "22")
    archive.remember("b.zip", "33")
    other.remember("a.zip", "44")
    assert (archive.digest("a.zip"), archive.digest("b.zip"), other.digest("a.zip")) == ("22", "33", "44")
