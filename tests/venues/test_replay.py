"""The replay venue: which files it plays, and that it plays them no faster than its clock."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.clock import VenueClock
from candlecast.errors import ConfigurationError, DataError, UnknownSeries
from candlecast.settings import Settings
from candlecast.venues import open_venue
from candlecast.venues.replay import ReplayVenue, default_series, scan
from tests.making import START, make_candles
from tests.shared import SHARED, requires_shared

SERIES = Series.parse("replay:BTC-USDT:15m")
CANDLES = make_candles(400)
QUARTER = Interval.M15.delta
LATER = START + timedelta(days=365)
HEADER = "ts,open,high,low,close,volume"


def standing(moment: datetime) -> VenueClock:
    """Return a clock that shows `moment` and hardly moves."""
    return VenueClock(start=moment, epoch=datetime.now(UTC), speed=1e-6)


def write(folder: Path, name: str, candles: Candles = CANDLES, header: str = HEADER) -> Path:
    names = ("open", "high", "low", "close", "volume")
    columns = [candles.open_time.astype(np.int64).tolist(), *(candles.columns()[n].tolist() for n in names)]
    lines = [header, *(",".join(map(repr, row)) for row in zip(*columns, strict=True))]
    return write_text(folder, name, "\n".join(lines) + "\n")


def write_text(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()))
    return path


def played(venue: ReplayVenue, start: datetime, end: datetime, series: Series = SERIES) -> Candles:
    return Candles.concatenate([Candles.empty(series.interval), *(p.candles for p in venue.fetch(series, start, end))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "binance-BTCUSDT-15m-2025-09-01-2025-09-05.csv.gz")
    return tmp_path


def test_file_is_played_exactly(folder: Path) -> None:
    assert played(ReplayVenue(folder, standing(LATER)), START, LATER) == CANDLES


@pytest.mark.parametrize(("first", "last"), [(0, 1), (7, 200), (399, 400), (0, 400), (400, 500), (9, 9)])
def test_start_is_inclusive_and_end_exclusive(folder: Path, first: int, last: int) -> None:
    venue = ReplayVenue(folder, standing(LATER))
    assert played(venue, START + first * QUARTER, START + last * QUARTER) == CANDLES[first:last]


def test_bounds_between_two_open_times(folder: Path) -> None:
    venue = ReplayVenue(folder, standing(LATER))
    tick = timedelta(microseconds=1)
    assert played(venue, START + 3 * QUARTER + tick, START + 9 * QUARTER + tick) == CANDLES[4:10]


@pytest.mark.parametrize(("early", "count"), [(timedelta(0), 10), (timedelta(seconds=1), 9)])
def test_only_what_is_closed_by_the_venues_clock_is_played(folder: Path, early: timedelta, count: int) -> None:
    venue = ReplayVenue(folder, standing(START + 10 * QUARTER - early))
    assert played(venue, START, LATER) == CANDLES[:count]


def test_venues_clock_is_the_one_it_was_given(folder: Path) -> None:
    assert abs(ReplayVenue(folder, standing(START)).now() - START) < timedelta(seconds=1)


def test_several_files_of_a_series_are_joined_and_overlap_is_played_once(tmp_path: Path) -> None:
    write(tmp_path, "binance-BTCUSDT-15m-2025-09-01-2025-09-03.csv.gz", CANDLES[:200])
    write(tmp_path, "binance-BTCUSDT-15m-2025-09-02-2025-09-05.csv.gz", CANDLES[150:])
    venue = ReplayVenue(tmp_path, standing(LATER))
    assert played(venue, START, LATER) == CANDLES
    pages = list(venue.fetch(SERIES, START, LATER))
    assert [len(page.candles) for page in pages] == [200, 200, 0]
    assert {page.source for page in pages} == {"replay"}
    assert [page.end for page in pages] == [START + 200 * QUARTER, CANDLES.cutoff, LATER]


def test_file_outside_the_range_is_not_even_opened(folder: Path) -> None:
    (folder / "binance-BTCUSDT-15m-2020-01-01-2020-12-31.csv.gz").write_bytes(
        gzip.compress(f"{HEADER}\n".encode()) + b"rubbish"
    )
    venue = ReplayVenue(folder, standing(LATER))
    assert played(venue, START, LATER) == CANDLES
    with pytest.raises(DataError, match="2020-01-01-2020-12-31"):
        played(venue, datetime(2020, 5, 1, tzinfo=UTC), LATER)


def test_long_file_comes_in_pages(tmp_path: Path) -> None:
    candles = make_candles(30_000, Interval.M1)
    write(tmp_path, "binance-BTCUSDT-1m-2025-09-01-2025-09-22.csv.gz", candles)
    venue = ReplayVenue(tmp_path, standing(LATER))
    series = Series.parse("replay:BTC-USDT:1m")
    pages = [page.candles for page in venue.fetch(series, START, LATER)]
    assert len(pages) > 3
    assert Candles.concatenate(pages) == candles


def test_row_that_contradicts_itself_is_refused_with_a_reason(tmp_path: Path) -> None:
    rows = "1756684800000,2,1,1,1,1\n1756685700000,1,1,1,1,1\n"
    write_text(tmp_path, "binance-BTCUSDT-15m-2025-09-01-2025-09-05.csv.gz", f"{HEADER}\n{rows}")
    page, _ = ReplayVenue(tmp_path, standing(LATER)).fetch(SERIES, START, LATER)
    assert [refusal.reason for refusal in page.refused] == ["high is below open or close"]
    assert len(page.candles) == 1


@pytest.mark.parametrize("line", ["x,1,1,1,1,1", "1756684800000,1,1,1,1", "1756684800000,1,1,1,1,one", "1756684800000"])
def test_line_that_is_no_candle_names_the_file(tmp_path: Path, line: str) -> None:
    path = write_text(tmp_path, "binance-BTCUSDT-15m-2025-09-01-2025-09-05.csv.gz", f"{HEADER}\n{line}\n")
    with pytest.raises(DataError, match=path.name):
        played(ReplayVenue(tmp_path, standing(LATER)), START, LATER)


def test_file_with_a_header_only_plays_nothing(tmp_path: Path) -> None:
    write_text(tmp_path, "binance-BTCUSDT-15m-2025-09-01-2025-09-05.csv.gz", f"{HEADER}\n")
    assert len(played(ReplayVenue(tmp_path, standing(LATER)), START, LATER)) == 0


def test_unknown_series_is_named_with_those_that_exist(folder: Path) -> None:
    venue = ReplayVenue(folder, standing(LATER))
    for wrong in ("replay:BTC-USDT:5m", "replay:ETH-USDT:15m", "binance:BTC-USDT:15m"):
        with pytest.raises(UnknownSeries, match="it has replay:BTC-USDT:15m"):
            played(venue, START, LATER, Series.parse(wrong))


@pytest.mark.parametrize(
    ("name", "header", "reason"),
    [
        ("yahoo-AAPL-1d-2022-04-07-2022-12-16.csv.gz", HEADER + ",adj_close", "AAPL does not end in a known quote"),
        ("yahoo-BTCUSD-1d-2022-04-07-2022-12-16.csv.gz", HEADER + ",adj_close", "the columns are"),
        ("coingecko-BTCUSD-1d-price-2013-04-28-2025-10-15.csv.gz", "ts,price", "the columns are ts,price, not"),
        ("binance-BTCUSDT-3m-2022-04-07-2022-12-16.csv.gz", HEADER, "the interval 3m is not one of 1m"),
        ("binance-USDT-1m-2022-04-07-2022-12-16.csv.gz", HEADER, "USDT does not end in a known quote"),
        ("binance-BTCUSDT-1m-2022-04-07-2022-13-16.csv.gz", HEADER, "do not exist"),
        ("candles.csv.gz", HEADER, "the name is not <venue>-<SYMBOL>-"),
    ],
)
def test_file_that_holds_no_candles_of_a_known_quote_is_skipped(
    folder: Path, name: str, header: str, reason: str
) -> None:
    write_text(folder, name, f"{header}\n")
    catalog = scan(folder)
    assert [(skip.file, reason in skip.reason) for skip in catalog.skipped] == [(name, True)]
    assert catalog.series == (SERIES,)


def test_file_that_is_not_gzip_is_skipped(folder: Path) -> None:
    (folder / "binance-ETHUSDT-1m-2022-04-07-2022-12-16.csv.gz").write_bytes(b"not gzip")
    [skip] = scan(folder).skipped
    assert "unreadable" in skip.reason


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("USDCUSDT", "USDC-USDT"),
        ("BTCUSD", "BTC-USD"),
        ("BTCFDUSD", "BTC-FDUSD"),
        ("ETHBTC", "ETH-BTC"),
        ("BTCUSDC", "BTC-USDC"),
    ],
)
def test_symbol_is_split_at_the_longest_known_quote(tmp_path: Path, pair: str, symbol: str) -> None:
    write(tmp_path, f"bitfinex-{pair}-15m-2025-09-01-2025-09-05.csv.gz")
    assert scan(tmp_path).series == (Series.parse(f"replay:{symbol}:15m"),)


def test_one_venues_files_make_a_series_binance_first(folder: Path) -> None:
    other = write(folder, "kraken-BTCUSDT-15m-2020-09-01-2025-09-05.csv.gz", make_candles(400, seed=2))
    catalog = scan(folder)
    assert [file.origin for file in catalog.files[SERIES]] == ["binance"]
    assert [skip.file for skip in catalog.skipped] == [other.name]
    assert "played from binance's files" in catalog.skipped[0].reason


def test_of_two_other_venues_the_longer_one_makes_the_series(tmp_path: Path) -> None:
    write(tmp_path, "kraken-BTCUSDT-15m-2025-09-01-2025-09-05.csv.gz")
    write(tmp_path, "bitstamp-BTCUSDT-15m-2025-09-01-2025-09-06.csv.gz")
    assert [file.origin for file in scan(tmp_path).files[SERIES]] == ["bitstamp"]


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere does not exist"):
        scan(tmp_path / "nowhere")


def test_folder_without_candles_says_what_was_skipped(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no \.csv\.gz file"):
        scan(tmp_path)
    write(tmp_path, "yahoo-AAPL-1d-2022-04-07-2022-12-16.csv.gz")
    with pytest.raises(ConfigurationError, match=r"1 files skipped: yahoo-AAPL-1d-2022-04-07.*AAPL does not"):
        scan(tmp_path)


def test_default_series_are_the_products_as_far_as_found(folder: Path) -> None:
    write(folder, "binance-XRPUSDT-1h-2025-09-01-2025-09-05.csv.gz")
    write(folder, "binance-ADAUSDT-1h-2025-09-01-2025-09-05.csv.gz")
    assert [str(series) for series in default_series(scan(folder))] == ["replay:BTC-USDT:15m", "replay:XRP-USDT:1h"]


def test_default_series_are_what_there_is_when_none_is_the_products(tmp_path: Path) -> None:
    for letter in "ABCDEFGHIJKLMNOPQR":
        write(tmp_path, f"binance-{letter}{letter}EUR-1h-2025-09-01-2025-09-05.csv.gz", CANDLES[:1])
    chosen = [str(series) for series in default_series(scan(tmp_path))]
    assert len(chosen) == 15
    assert chosen[0] == "replay:AA-EUR:1h"


def test_open_venue_needs_a_folder(folder: Path) -> None:
    venue = open_venue("replay", Settings(replay_dir=folder), standing(LATER))
    assert venue.name == "replay"
    venue.close()
    with pytest.raises(ConfigurationError, match="CANDLECAST_REPLAY_DIR"):
        open_venue("replay", Settings(replay_dir=None), standing(LATER))


def test_unknown_venue_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="unknown venue 'mtgox'; known are binance, coinbase, kraken, replay"):
        open_venue("mtgox", Settings(), VenueClock())


@requires_shared
def test_real_folder_holds_the_default_series_and_skips_stocks_and_prices() -> None:
    catalog = scan(SHARED / "data")
    assert len(default_series(catalog)) == 15
    assert {skip.file.split("-")[0] for skip in catalog.skipped} == {"yahoo", "coingecko"}
    assert len(catalog.skipped) == 12
    assert len(catalog.files[Series.parse("replay:BTC-USD:1m")]) == 3


@requires_shared
def test_real_intervals_agree_with_each_other() -> None:
    venue = ReplayVenue(SHARED / "data", standing(datetime(2025, 9, 2, tzinfo=UTC)))
    short, long = (
        played(venue, START, LATER, Series.parse(f"replay:BTC-USDT:{interval}")) for interval in ("5m", "1h")
    )
    assert (len(short), len(long)) == (288, 24)
    assert short.close[11::12].tolist() == long.close.tolist()
    assert short.high.reshape(24, 12).max(axis=1).tolist() == long.high.tolist()


@requires_shared
def test_newest_candles_of_all_default_series_are_cheap() -> None:
    now = datetime(2025, 9, 20, 5, 7, tzinfo=UTC)
    began = perf_counter()
    venue = ReplayVenue(SHARED / "data", standing(now))
    series = default_series(venue.catalog)
    newest = [played(venue, now - 10 * one.interval.delta, now, one) for one in series]
    # Takes 0.15 s; the bound only tells a full parse of every file from a look at the tail, on a busy machine too.
    assert perf_counter() - began < 2
    assert {len(candles) for candles in newest} == {9}
