"""`python -m candlecast.store migrate | wait | roles | verify-ledger | export`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from candlecast.candles import Series
from candlecast.errors import ConfigurationError, UsageError
from candlecast.program import Parser, run_program
from candlecast.settings import Settings
from candlecast.store.database import Database, open_database
from candlecast.store.export import CANDLE_KINDS, LEDGER_KINDS, Batch, stream_candles, stream_ledger
from candlecast.store.ledger import verify
from candlecast.store.migrate import migrate, wait_for_schema
from candlecast.store.proof import prove_scores
from candlecast.store.roles import RIGHTS, grant_roles


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_program(f"candlecast.store {options.command}", lambda settings: _run(options, settings))


def _parser() -> Parser:
    parser = Parser(prog="python -m candlecast.store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    migration = commands.add_parser("migrate", help="bring the schema up to date")
    migration.add_argument("--roles", metavar="PREFIX", help="then do what `roles` does")
    roles = commands.add_parser(
        "roles",
        help="make the database users that are missing, PREFIX_ingest and so on, and give each the rights its program "
        "needs; asks for the tables, and their owner; passwords come from ROLE_PASSWORD_INGEST and so on",
    )
    roles.add_argument("--prefix", default="candlecast", help="what the users' names begin with (default candlecast)")
    wait = commands.add_parser("wait", help="wait until the schema is up to date")
    wait.add_argument("--timeout", type=float, default=300, help="seconds (default 300)")
    commands.add_parser(
        "verify-ledger", help="recompute every row's hash and the live scores; exit 65 when one does not hold"
    )
    export = commands.add_parser("export", help="write candles or forecasts of one series into a file")
    export.add_argument("what", choices=["candles", "ledger"])
    export.add_argument("--series", required=True, help="such as binance:BTC-USDT:15m")
    export.add_argument("--start", help="first open time or cutoff, such as 2025-09-01T00:00:00Z")
    export.add_argument("--end", help="open times and cutoffs before this")
    export.add_argument("--format", choices=["csv", "parquet"], default="csv")
    export.add_argument("--out", required=True, help="file, compressed where it ends in .gz; - is the standard output")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    with closing(open_database(settings)) as database:
        if options.command == "export":
            return _export(options, database)
        answer: dict[str, object]
        code = 0
        if options.command == "migrate":
            answer = {"revision": migrate(database)}
            if options.roles:
                answer["roles"] = _grant(database, options.roles)
        elif options.command == "roles":
            wait_for_schema(database, 0)  # rights are given on tables
            answer = {"roles": _grant(database, options.prefix)}
        elif options.command == "wait":
            wait_for_schema(database, options.timeout)
            answer = {"schema": "ready"}
        else:
            answer, code = _verify(database)
    print(json.dumps(answer))  # noqa: T201  # a command's answer
    return code


def _grant(database: Database, prefix: str) -> list[str]:
    passwords = {role: os.environ.get(f"ROLE_PASSWORD_{role.upper()}", "") for role in RIGHTS}
    with database.begin() as connection:
        return grant_roles(connection, prefix, passwords)


def _verify(database: Database) -> tuple[dict[str, object], int]:
    with database.begin() as connection:
        state = verify(connection)
    proofs = list(prove_scores(database))
    answer: dict[str, object] = {
        "rows": state.rows,
        "intact": state.intact,
        "broken_at": state.broken_at,
        "scores": [
            {"series": str(one.series), "horizon": one.horizon, "holds": one.holds, **asdict(one.recomputed)}
            for one in proofs
        ],
    }
    return answer, 0 if state.intact and all(one.holds for one in proofs) else 65


def _export(options: argparse.Namespace, database: Database) -> int:
    if find_spec("pyarrow") is None:
        raise ConfigurationError(
            "exports need pyarrow, which is not installed here; in a cluster the service and training images have it, "
            "elsewhere pip install 'candlecast[serve]'"
        )
    from candlecast.store.files import encode

    bounds: dict[str, Any] = {name: _moment(name, getattr(options, name)) for name in ("start", "end")}
    stream, kinds = (stream_candles, CANDLE_KINDS) if options.what == "candles" else (stream_ledger, LEDGER_KINDS)
    counted = _Counted(stream(database, Series.parse(options.series), **bounds))
    with _opened(options.out) as file:
        for part in encode(counted, kinds, options.format):
            file.write(part)
    answer = {"exported": options.what, "series": options.series, "rows": counted.rows, "out": options.out}
    print(json.dumps(answer), file=sys.stderr if options.out == "-" else sys.stdout)  # a command's answer
    return 0


class _Counted:
    """Batches, and how many rows have passed."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.rows = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.rows += len(next(iter(batch.values())))
            yield batch


@contextmanager
def _opened(out: str) -> Iterator[IO[bytes]]:
    from candlecast.store.files import complete_file

    if out == "-":
        yield sys.stdout.buffer
        return
    try:
        with complete_file(Path(out)) as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from error


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--{name} {text!r} is no time; write it like 2025-09-01T00:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
