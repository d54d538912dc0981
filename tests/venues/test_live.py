"""What the adapters of live exchanges share, and that no script of faults makes any of them tell something wrong."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier, Thread

import httpx
import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series, to_ms
from candlecast.errors import TemporaryError, VenueUnavailable
from candlecast.venues import Fetched, Venue
from candlecast.venues.binance import BinanceVenue
from candlecast.venues.coinbase import CoinbaseVenue
from candlecast.venues.http import Answer, HttpClient
from candlecast.venues.kraken import KrakenVenue
from candlecast.venues.live import milliseconds, moment
from tests.making import START, make_candles
from tests.venues.exchange import BinanceServer, CoinbaseServer, KrakenServer
from tests.venues.hostile import (
    ARCHIVE_ONLY,
    DECEIVING,
    OVERCOME,
    REFUSED,
    Exchange,
    Fault,
    complete,
    random_script,
)
from tests.venues.pages import joined, prices

SYMBOL = "BTC-USD"
CANDLES = complete(make_candles(2200))
QUARTER = Interval.M15.delta
SLOW = {Fault.HANGING}
END = CANDLES.cutoff
NOW = END - QUARTER / 3  # so the last candle is still open


@dataclass(frozen=True, slots=True)
class Kind:
    """An exchange, and how many candles its adapter can be asked for and is to get."""

    server: type[Exchange]
    venue: Callable[..., Venue]
    first: int
    deceived_by: frozenset[Fault] = frozenset()

    @property
    def truth(self) -> Candles:
        return CANDLES[self.first : -1]


KINDS = {
    "binance": Kind(BinanceServer, BinanceVenue, 0),
    # It answers for a window, whatever of it the answer holds.
    "coinbase": Kind(CoinbaseServer, CoinbaseVenue, 1300, frozenset({Fault.SHORT, Fault.REPEATED})),
    "kraken": Kind(KrakenServer, KrakenVenue, 1500),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def server(kind: Kind) -> Iterator[Exchange]:
    with kind.server({Series.parse(f"binance:{SYMBOL}:15m"): CANDLES}, lambda: NOW) as running:
        yield running


@pytest.fixture
def venue(kind: Kind, server: Exchange) -> Iterator[Venue]:
    http = HttpClient(server.url, backoff=0, attempts=4, largest_answer=1_000_000)
    opened = kind.venue(http, lambda: NOW)
    yield opened
    opened.close()


def fetch(venue: Venue, kind: Kind) -> Iterator[Fetched]:
    return venue.fetch(Series.parse(f"binance:{SYMBOL}:15m"), START + kind.first * QUARTER, END + QUARTER)


def believed(kind: Kind, pages: list[Fetched]) -> None:
    """Check that pages tell nothing wrong: true candles, and no claim that misses one unless a row was refused."""
    for page in pages:
        true = prices(kind.truth).between(page.start, page.end)
        given = prices(page.candles)
        assert np.isin(given.open_time, true.open_time).all()
        assert given == true[np.isin(true.open_time, given.open_time)]
        lost = set(true.open_time.astype(np.int64).tolist()) - set(given.open_time.astype(np.int64).tolist())
        assert lost <= {refusal.open_time for refusal in page.refused}
    assert all(before.end <= after.start for before, after in pairwise(pages))
    assert all(page.end <= NOW for page in pages)


def test_truth_is_given_exactly(kind: Kind, venue: Venue) -> None:
    pages = list(fetch(venue, kind))
    assert prices(joined(pages)) == prices(kind.truth)
    believed(kind, pages)


@pytest.mark.parametrize("fault", sorted(OVERCOME - SLOW - {Fault.SHORT}))
def test_what_an_adapter_overcomes_changes_nothing(kind: Kind, server: Exchange, venue: Venue, fault: Fault) -> None:
    venue.now()
    server.play([fault])
    assert prices(joined(fetch(venue, kind))) == prices(kind.truth)
    assert server.unspent == 0


@pytest.mark.parametrize("seed", range(12))
def test_no_script_makes_an_adapter_tell_something_wrong(kind: Kind, server: Exchange, venue: Venue, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # a test's dice
    server.play(random_script(dice, 40, set(Fault) - DECEIVING - ARCHIVE_ONLY - SLOW - kind.deceived_by, share=0.6))
    pages: list[Fetched] = []
    with suppress(TemporaryError):
        pages.extend(fetch(venue, kind))
    believed(kind, pages)


@pytest.mark.parametrize("fault", sorted(REFUSED - {Fault.REPEATED}))
def test_row_that_cannot_be_believed_is_refused_and_the_others_are_not(
    kind: Kind, server: Exchange, venue: Venue, fault: Fault
) -> None:
    venue.now()
    server.play([fault])
    pages = list(fetch(venue, kind))
    believed(kind, pages)
    assert sum(len(page.candles) for page in pages) == len(kind.truth) - 1
    assert {refusal.open_time for page in pages for refusal in page.refused} == {
        int(opened) for opened in kind.truth.open_time.astype(np.int64)
    } - {int(opened) for opened in joined(pages).open_time.astype(np.int64)}


def test_several_series_are_fetched_at_once(kind: Kind, server: Exchange, venue: Venue) -> None:
    found: list[Candles] = []
    together = Barrier(4)

    def fetch_one() -> None:
        together.wait()
        found.append(prices(joined(fetch(venue, kind))))

    threads = [Thread(target=fetch_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [prices(kind.truth)] * 4
    assert sum("ime" in request.path for request in server.requests) == 1


def test_clock_is_measured_by_the_exchange_and_skew_is_its_lead(kind: Kind, server: Exchange) -> None:
    wall = NOW + timedelta(minutes=10)
    venue = kind.venue(HttpClient(server.url, backoff=0), lambda: wall)
    assert venue.skew() == timedelta(minutes=-10)
    assert venue.now() == NOW
    venue.close()


@pytest.mark.parametrize("unit", [10**-3, 1, 10**3, 10**6])
def test_size_of_a_time_tells_its_unit(unit: float) -> None:
    times = [datetime(year, 1, 1, tzinfo=UTC) for year in (2010, 2025, 2100)]
    given = np.array([int(to_ms(one) * unit) for one in times], dtype=np.int64)
    assert milliseconds(given).tolist() == [to_ms(one) for one in times]


@pytest.mark.parametrize("body", ["null", "{}", '{"t": "x"}', '{"t": 1e30}', "[]", '{"t": -100000000000000000}'])
def test_time_that_is_none_is_unavailable(body: str) -> None:
    answer = Answer("exchange.example", "/time", 200, httpx.Headers(), body.encode())
    with pytest.raises(VenueUnavailable, match="does not tell its time"):
        moment(answer, lambda content: content["t"])
