"""`python -m ingestion_job`: bring every configured series up to its venue's last closed candle."""

import sys

from candlecast.jobs import run_job
from candlecast.program import refuse_arguments, run_program
from ingestion_job.ingest import ingest


def main(arguments: list[str] | None = None) -> int:
    """Run ingestion once; return its exit code."""
    refuse_arguments("ingestion_job", __doc__, arguments)
    return run_program(
        "ingestion_job", lambda settings: run_job("ingestion", settings, lambda run: ingest(run, settings))
    )


if __name__ == "__main__":
    sys.exit(main())
