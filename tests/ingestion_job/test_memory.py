"""Ten million candles out of an archive: the job's memory does not grow with what it fetches."""

from __future__ import annotations

import hashlib
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series, Symbol, to_ms
from candlecast.store.database import Database
from tests.venues.archive import ArchiveServer, packed
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import Fault, Reply, Request

BASES = ("BTC", "ETH", "SOL")
SERIES = [Series("binance", Symbol(base, "USDT"), Interval.M1) for base in BASES]
BEGIN, NOW = datetime(2019, 7, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
CANDLES = len(SERIES) * ((NOW - BEGIN) // Interval.M1.delta)
MOST_MEGABYTES = 400


class ManyYears(ArchiveServer):
    """Files whose candles follow from their open times, made when they are asked for and not before."""

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        name = request.path.rpartition("/")[2].removesuffix(".CHECKSUM")
        match = re.fullmatch(r"[A-Z]+-1m-(\d{4})-(\d\d)(?:-(\d\d))?\.zip", name)
        if match is None:
            return Reply(404)
        start = datetime(int(match[1]), int(match[2]), int(match[3] or 1), tzinfo=UTC)
        end = start + timedelta(days=1) if match[3] else (start + timedelta(days=31)).replace(day=1)
        content = minutes(start, end)
        if request.path.endswith(".CHECKSUM"):
            return Reply(200, f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
        return Reply(200, content)


@lru_cache(maxsize=12)
def minutes(start: datetime, end: datetime) -> bytes:
    """Return a zip of the 1m candles with start <= open_time < end."""
    scale = 1000 if start.year >= 2025 else 1
    times = np.arange(to_ms(start), to_ms(end), 60_000)
    price = 100 + times // 60_000 % 1000 / 10
    rows = zip(times.tolist(), price.tolist(), strict=True)
    lines = [f"{t * scale},{p},{p},{p},{p},1,{(t + 60_000) * scale - 1},{p},1,0.5,{p},0" for t, p in rows]
    return packed("candles.csv", "\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_million_candles_need_no_more_memory_than_a_few_files(
    database: Database, environment: dict[str, str]
) -> None:
    assert CANDLES > 10_000_000
    nothing = {series: Candles.empty(Interval.M1) for series in SERIES}
    with ManyYears({}, lambda: NOW) as archive, BinanceServer(nothing, lambda: NOW) as exchange:
        settings = environment | {
            "CANDLECAST_BINANCE_URL": exchange.url,
            "CANDLECAST_BINANCE_ARCHIVE_URL": archive.url,
            "CANDLECAST_COINGECKO_URL": "",
            "CANDLECAST_SERIES": ",".join(map(str, SERIES)),
            "CANDLECAST_BACKFILL_DAYS": str((NOW - BEGIN).days),
            "CANDLECAST_VENUE_TIMEOUT": "120",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "ingestion_job"], env=settings, stderr=subprocess.PIPE, text=True
        )
        _, log = process.communicate(timeout=3500)
    assert process.returncode == 0, log[-3000:]
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM candle")).scalar_one() == CANDLES
    # Of all children that this process has waited for, so at least of this one; in kilobytes.
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    assert most < MOST_MEGABYTES, f"{most:.0f} MB"
