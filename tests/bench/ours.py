"""What is measured of ours: a database of its own, and the service as a contender."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from candlecast.candles import Series
from candlecast.store.database import Database
from candlecast.store.embedded import embedded_url
from candlecast.store.migrate import migrate
from tests.bench.contending import Contender, contending
from tests.service.house import service_environment

OURS = "ours"


@contextmanager
def database_in(folder: Path) -> Iterator[Database]:
    """Start an embedded Postgres in a folder, with our tables."""
    url = embedded_url(folder)
    with closing(Database(url, url)) as database:
        migrate(database)
        yield database


@contextmanager
def serving_ours(
    database: Database, folder: Path, series: Sequence[Series], path: str, body: str | None = None
) -> Iterator[Contender]:
    """Run the service, with metrics and one worker, until the block ends."""
    environment = service_environment(database.address, folder, ",".join(map(str, series)), service_workers="1")
    port = int(environment["CANDLECAST_SERVICE_PORT"])
    with contending(OURS, ["-m", "service"], port, path, environment, body) as contender:
        yield contender
