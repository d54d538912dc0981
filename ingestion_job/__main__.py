"""`python -m ingestion_job`: bring every series up to its venue's last closed candle; `retention` prunes instead."""

import sys

from candlecast.jobs import run_job
from candlecast.program import Parser, run_program
from candlecast.settings import Settings
from ingestion_job.ingest import ingest, take_part
from ingestion_job.retention import say_what_would_go, throw_away


def main(arguments: list[str] | None = None) -> int:
    """Run ingestion, or retention, once; return its exit code."""
    parser = Parser(prog="python -m ingestion_job", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    retention = commands.add_parser("retention", help="throw away what the settings no longer keep")
    retention.add_argument("--dry-run", action="store_true", help="only say what would go")
    options = parser.parse_args(arguments)
    if options.command == "retention":
        return run_program("ingestion_job retention", say_what_would_go if options.dry_run else _retain)
    return run_program("ingestion_job", _ingest)


def _ingest(settings: Settings) -> int:
    return run_job("ingestion", settings, lambda run: ingest(run, settings), lambda run: take_part(run, settings))


def _retain(settings: Settings) -> int:
    return run_job("retention", settings, lambda run: throw_away(run, settings))


if __name__ == "__main__":
    sys.exit(main())
