"""Binance's archive: which files are read, that only verified ones count, and that replaced ones are seen."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import ChecksumMismatch, DataError, RestrictedLocation, VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues import Fetched, open_archive
from candlecast.venues.binance_archive import BinanceArchive
from candlecast.venues.http import HttpClient
from tests.making import make_candles
from tests.venues.archive import ArchiveServer, packed
from tests.venues.hostile import Fault, Reply, complete, restated

SERIES = Series.parse("binance:BTC-USDT:1h")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN = datetime(2024, 11, 1, tzinfo=UTC)
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 2, 14, 13, tzinfo=UTC)
TODAY = datetime(2025, 2, 14, tzinfo=UTC)
CANDLES = complete(make_candles((NOW - BEGIN) // HOUR, Interval.H1, start=BEGIN))


class Memory(dict[str, str]):
    """Digests, as long as the test lasts."""

    def digest(self, name: str) -> str | None:
        return self.get(name)

    def remember(self, name: str, digest: str) -> None:
        self[name] = digest


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer({SERIES: CANDLES}, lambda: NOW) as running:
        yield running


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def archive(server: ArchiveServer, memory: Memory) -> Iterator[BinanceArchive]:
    opened = BinanceArchive(HttpClient(server.url, backoff=0, attempts=3), memory, lambda: NOW)
    yield opened
    opened.close()


def joined(pages: Iterable[Fetched]) -> Candles:
    return Candles.concatenate([Candles.empty(SERIES.interval), *(page.candles for page in pages)])


def asked(server: ArchiveServer) -> list[str]:
    """Return the periods of the files that were asked for, in order."""
    names = [request.path.rpartition("/")[2] for request in server.requests]
    return [name.removeprefix("BTCUSDT-1h-").removesuffix(".zip") for name in names if name.endswith(".zip")]


def test_whole_months_come_as_one_file_and_the_rest_as_days(server: ArchiveServer, archive: BinanceArchive) -> None:
    pages = list(archive.fetch(SERIES, BEGIN, NOW))
    assert joined(pages) == CANDLES.between(BEGIN, TODAY)
    assert asked(server) == ["2024-11", "2024-12", "2025-01", *(f"2025-02-{day:02}" for day in range(1, 14))]
    assert not any("2025-02.zip" in request.path for request in server.requests)
    assert server.requests[1].path == "/data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-11.zip"
    assert [page.start for page in pages] == [BEGIN, *(page.end for page in pages[:-1])]
    assert pages[-1].end == TODAY
    assert {page.source for page in pages} == {"binance_archive"}


def test_only_the_range_that_was_asked_for_is_given_and_answered_for(archive: BinanceArchive) -> None:
    start, end = BEGIN + 5 * DAY + 3 * HOUR, BEGIN + 20 * DAY + 7 * HOUR
    [page] = archive.fetch(SERIES, start, end)
    assert page.candles == CANDLES.between(start, end)
    assert (page.start, page.end) == (start, end)


def test_hole_of_a_few_hours_costs_a_day_and_no_month(server: ArchiveServer, archive: BinanceArchive) -> None:
    start = BEGIN + 9 * DAY + 22 * HOUR
    assert joined(archive.fetch(SERIES, start, start + 5 * HOUR)) == CANDLES.between(start, start + 5 * HOUR)
    assert asked(server) == ["2024-11-10", "2024-11-11"]


def test_milliseconds_and_microseconds_meet_at_the_new_year(archive: BinanceArchive) -> None:
    found = joined(archive.fetch(SERIES, NEW_YEAR - 2 * HOUR, NEW_YEAR + 2 * HOUR))
    assert found == CANDLES.between(NEW_YEAR - 2 * HOUR, NEW_YEAR + 2 * HOUR)
    assert len(found) == 4


def test_header_line_is_accepted(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.header = True
    assert joined(archive.fetch(SERIES, BEGIN, BEGIN + DAY)) == CANDLES[:24]


def test_hole_in_a_file_is_answered_for(server: ArchiveServer, archive: BinanceArchive) -> None:
    holed = Candles.concatenate([CANDLES[:5], CANDLES[9:]])
    server.truth[SERIES.symbol, SERIES.interval] = holed
    [page] = archive.fetch(SERIES, BEGIN, BEGIN + DAY)
    assert page.candles == holed[:20]
    assert (page.start, page.end) == (BEGIN, BEGIN + DAY)


def test_month_that_is_not_published_yet_comes_as_days(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.monthly = False
    assert joined(archive.fetch(SERIES, NEW_YEAR, NEW_YEAR + 31 * DAY)) == CANDLES.between(
        NEW_YEAR, NEW_YEAR + 31 * DAY
    )


def test_file_that_is_not_there_answers_for_nothing(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.clock = lambda: NOW - 2 * DAY
    pages = list(archive.fetch(SERIES, TODAY - 5 * DAY, NOW))
    assert [page.end for page in pages] == [TODAY - 4 * DAY, TODAY - 3 * DAY, TODAY - 2 * DAY]


def test_months_before_the_listing_cost_little_and_answer_for_nothing(
    server: ArchiveServer, archive: BinanceArchive
) -> None:
    early = datetime(2024, 8, 1, tzinfo=UTC)
    pages = list(archive.fetch(SERIES, early, BEGIN + 30 * DAY))
    assert [(page.start, page.end) for page in pages] == [(BEGIN, BEGIN + 30 * DAY)]
    assert len(server.requests) == 3 * (1 + 3) + 2


def test_unknown_symbol_answers_for_nothing(archive: BinanceArchive) -> None:
    assert list(archive.fetch(Series.parse("binance:NOPE-USDT:1h"), BEGIN, NOW)) == []


def test_a_day_that_is_not_over_is_not_asked_for(server: ArchiveServer, archive: BinanceArchive) -> None:
    assert list(archive.fetch(SERIES, TODAY, NOW)) == []
    assert server.requests == []


@pytest.mark.parametrize("fault", [Fault.WRONG_CHECKSUM, Fault.DAMAGED, Fault.TRUNCATED])
def test_file_that_was_damaged_once_is_read_again(server: ArchiveServer, archive: BinanceArchive, fault: Fault) -> None:
    server.play([fault] if fault is Fault.WRONG_CHECKSUM else [None, fault])
    assert joined(archive.fetch(SERIES, BEGIN, BEGIN + DAY)) == CANDLES[:24]
    assert len(server.requests) == 4
    assert server.unspent == 0


@pytest.mark.parametrize("script", [[Fault.WRONG_CHECKSUM, None] * 2, [None, Fault.DAMAGED] * 2])
def test_file_that_is_not_what_its_checksum_says_is_never_used(
    server: ArchiveServer, archive: BinanceArchive, memory: Memory, script: list[Fault | None]
) -> None:
    server.play(script)
    with pytest.raises(ChecksumMismatch, match=r"BTCUSDT-1h-2024-11-01\.zip"):
        list(archive.fetch(SERIES, BEGIN, BEGIN + DAY))
    assert memory == {}


@pytest.mark.parametrize("checksum", ["", "<html></html>", "abc  BTCUSDT-1h-2024-11-01.zip", f"{'a' * 64}  other.zip"])
def test_checksum_that_is_none_is_unavailable(server: ArchiveServer, archive: BinanceArchive, checksum: str) -> None:
    server.fail_next(200, checksum)
    with pytest.raises(VenueUnavailable, match="no readable checksum"):
        list(archive.fetch(SERIES, BEGIN, BEGIN + DAY))


@pytest.mark.parametrize(
    "content",
    [b"PK rubbish", packed("a.csv", "1730419200000,one,2,3,4,5,6,7,8,9,10,0\n"), packed("a.csv", "<html></html>\nx")],
)
def test_verified_file_without_candles_is_wrong_for_good(
    server: ArchiveServer, archive: BinanceArchive, content: bytes
) -> None:
    digest = hashlib.sha256(content).hexdigest()
    server.play([Reply(200, f"{digest}  BTCUSDT-1h-2024-11-01.zip\n".encode()), Reply(200, content)])
    with pytest.raises(DataError, match=r"BTCUSDT-1h-2024-11-01\.zip"):
        list(archive.fetch(SERIES, BEGIN, BEGIN + DAY))


def test_file_that_unpacks_to_too_much_is_refused(server: ArchiveServer, archive: BinanceArchive) -> None:
    content = packed("a.csv", "1" * 65_000_000)
    digest = hashlib.sha256(content).hexdigest()
    server.play([Reply(200, f"{digest}  BTCUSDT-1h-2024-11-01.zip\n".encode()), Reply(200, content)])
    with pytest.raises(DataError, match="unpacks to more than"):
        list(archive.fetch(SERIES, BEGIN, BEGIN + DAY))


def test_row_that_contradicts_itself_is_refused_with_a_reason(server: ArchiveServer, archive: BinanceArchive) -> None:
    text = "1730419200000,1,0.5,1,1,5,0,1,1,1,1,0\n1730422800000,1,1,1,1,5,0,1,1,1,1,0\n"
    content = packed("a.csv", text)
    digest = hashlib.sha256(content).hexdigest()
    server.play([Reply(200, f"{digest}  BTCUSDT-1h-2024-11-01.zip\n".encode()), Reply(200, content)])
    [page] = archive.fetch(SERIES, BEGIN, BEGIN + DAY)
    assert [refusal.reason for refusal in page.refused] == ["high is below open or close"]
    assert len(page.candles) == 1


def test_file_is_remembered_when_its_page_was_taken(archive: BinanceArchive, memory: Memory) -> None:
    pages = archive.fetch(SERIES, BEGIN, BEGIN + 2 * DAY)
    next(pages)
    assert memory == {}
    next(pages)
    assert list(memory) == ["BTCUSDT-1h-2024-11-01.zip"]


def test_files_that_were_replaced_come_again_and_only_those(
    server: ArchiveServer, archive: BinanceArchive, memory: Memory
) -> None:
    list(archive.fetch(SERIES, BEGIN, NOW))
    before = dict(memory)
    assert len(before) == 3 + 13
    server.requests.clear()
    assert list(archive.replaced(SERIES, BEGIN, NOW)) == []
    assert len(server.requests) == 16
    changed = restated(restated(CANDLES, 30 * 24 + 5), len(CANDLES) - 40)
    server.truth[SERIES.symbol, SERIES.interval] = changed
    pages = list(archive.replaced(SERIES, BEGIN, NOW))
    assert [(page.start, page.end) for page in pages] == [
        (BEGIN + 30 * DAY, NEW_YEAR),
        (TODAY - 2 * DAY, TODAY - DAY),
    ]
    assert all(page.candles == changed.between(page.start, page.end) for page in pages)
    assert {name for name, digest in memory.items() if before[name] != digest} == {
        "BTCUSDT-1h-2024-12.zip",
        "BTCUSDT-1h-2025-02-12.zip",
    }
    assert list(archive.replaced(SERIES, BEGIN, NOW)) == []


def test_file_that_was_never_read_was_not_replaced(server: ArchiveServer, archive: BinanceArchive) -> None:
    assert list(archive.replaced(SERIES, BEGIN, NOW)) == []
    assert server.requests == []


def test_place_that_is_refused_is_named(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.play([Fault.FORBIDDEN])
    with pytest.raises(RestrictedLocation):
        list(archive.fetch(SERIES, BEGIN, NOW))


def test_only_binance_has_an_archive_and_it_can_be_switched_off(server: ArchiveServer, memory: Memory) -> None:
    settings = Settings(binance_archive_url=server.url)
    opened = open_archive("binance", settings, memory)
    assert opened is not None
    assert joined(opened.fetch(SERIES, BEGIN, BEGIN + DAY)) == CANDLES[:24]
    opened.close()
    assert open_archive("kraken", settings, memory) is None
    assert open_archive("binance", Settings(binance_archive_url=""), memory) is None
