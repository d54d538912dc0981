"""The server of Binance's files: a zip of CSV for each month and day that is over, with its checksum beside it."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from candlecast.candles import Candles, Interval, Symbol, to_ms
from tests.venues.exchange import kline
from tests.venues.hostile import Exchange, Fault, Reply, Request, symbols

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
NO_SUCH_KEY = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'
FIRST_MICROSECONDS = datetime(2025, 1, 1, tzinfo=UTC)

_PATH = re.compile(
    r"/data/spot/(monthly|daily)/klines/(?P<pair>[A-Z0-9]+)/(?P<interval>\w+)/(?P=pair)-(?P=interval)-"
    r"(?P<year>\d{4})-(?P<month>\d\d)(-(?P<day>\d\d))?\.zip(?P<checksum>\.CHECKSUM)?"
)


class ArchiveServer(Exchange):
    """Files made from the truth: of a period that is over by the server's clock, and in which there are candles.

    A file changes when the truth about its period does: that is a file replaced. With `monthly` False no month has
    been published yet, with `header` True files begin with the columns' names.
    """

    per_second = 1000
    places: ClassVar[dict[str, int]] = {}
    monthly = True
    header = False

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        content = None if fault is Fault.MISSING else self.file(request.path.removesuffix(".CHECKSUM"))
        if content is None:
            return Reply(404, NO_SUCH_KEY)
        if not request.path.endswith(".CHECKSUM"):
            return Reply(200, _damaged(content) if fault is Fault.DAMAGED else content)
        digest = hashlib.sha256(content[1:] if fault is Fault.WRONG_CHECKSUM else content).hexdigest()
        return Reply(200, f"{digest}  {request.path.rpartition('/')[2].removesuffix('.CHECKSUM')}\n".encode())

    def file(self, path: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        match = _PATH.fullmatch(path)
        if not match or match["interval"] not in set(Interval) or (match["day"] is None and not self.monthly):
            return None
        start = datetime(int(match["year"]), int(match["month"]), int(match["day"] or 1), tzinfo=UTC)
        end = start + timedelta(days=1) if match["day"] else (start + timedelta(days=31)).replace(day=1)
        found = [symbol for symbol in symbols(self.truth) if symbol.base + symbol.quote == match["pair"]]
        if not found or end > self.now():
            return None
        return self._packed(path, self._candles(found[0], Interval(match["interval"])).between(start, end))

    def _candles(self, symbol: Symbol, interval: Interval) -> Candles:
        return self.truth.get((symbol, interval), Candles.empty(interval))

    def _packed(self, path: str, candles: Candles) -> bytes | None:
        if not len(candles):
            return None
        lines = [HEADER] if self.header else []
        for row in range(len(candles)):
            opened, *values = kline(candles, row, to_ms(self.now()))
            # They have counted microseconds since 2025.
            scale = 1000 if opened >= to_ms(FIRST_MICROSECONDS) else 1
            values[5] = (values[5] + 1) * scale - 1
            lines.append(",".join(map(str, [opened * scale, *values])))
        return packed(path.rpartition("/")[2].replace(".zip", ".csv"), "\n".join(lines) + "\n")


def packed(name: str, text: str) -> bytes:
    """Return a zip of one file; the same text gives the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, date_time=(2025, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
