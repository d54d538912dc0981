"""`python -m candlecast.store migrate | wait | verify-ledger`."""

import argparse
import json
import sys

from candlecast.program import Parser, run_program
from candlecast.store.database import Database, open_database
from candlecast.store.ledger import verify
from candlecast.store.migrate import migrate, wait_for_schema


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = Parser(prog="python -m candlecast.store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the schema up to date")
    wait = commands.add_parser("wait", help="wait until the schema is up to date")
    wait.add_argument("--timeout", type=float, default=300, help="seconds (default 300)")
    commands.add_parser("verify-ledger", help="recompute the hash of every ledger row; exit 65 when one does not hold")
    options = parser.parse_args(arguments)
    return run_program(f"candlecast.store {options.command}", lambda settings: _run(options, open_database(settings)))


def _run(options: argparse.Namespace, database: Database) -> int:
    answer: dict[str, object]
    code = 0
    if options.command == "migrate":
        answer = {"revision": migrate(database)}
    elif options.command == "wait":
        wait_for_schema(database, options.timeout)
        answer = {"schema": "ready"}
    else:
        with database.begin() as connection:
            state = verify(connection)
        answer = {"rows": state.rows, "intact": state.intact, "broken_at": state.broken_at}
        code = 0 if state.intact else 65
    print(json.dumps(answer))  # noqa: T201  # a command's answer
    return code


if __name__ == "__main__":
    sys.exit(main())
