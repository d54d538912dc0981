"""`python -m ingestion_job`: bring every configured series up to its venue's last closed candle."""

import argparse
import sys

from candlecast.errors import CandlecastError
from candlecast.jobs import run_job
from candlecast.logs import set_up_logs
from candlecast.settings import load_settings
from ingestion_job.ingest import ingest


def main(arguments: list[str] | None = None) -> int:
    """Run ingestion once; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ingestion_job", description=__doc__)
    parser.parse_args(arguments)
    try:
        settings = load_settings()
    except CandlecastError as error:
        print(f"ingestion_job: {error.message}", file=sys.stderr)  # noqa: T201  # no log level is known yet
        return error.exit_code
    set_up_logs(settings.log_level)
    return run_job("ingestion", settings, lambda run: ingest(run, settings))


if __name__ == "__main__":
    sys.exit(main())
