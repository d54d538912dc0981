"""`python -m training`: fit a challenger for every configured venue and interval, and promote those that earned it."""

import argparse
import sys

from candlecast.errors import CandlecastError
from candlecast.jobs import run_job
from candlecast.logs import set_up_logs
from candlecast.settings import load_settings
from training.job import train_models


def main(arguments: list[str] | None = None) -> int:
    """Run training once; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.parse_args(arguments)
    try:
        settings = load_settings()
    except CandlecastError as error:
        print(f"training: {error.message}", file=sys.stderr)  # noqa: T201  # no log level is known yet
        return error.exit_code
    set_up_logs(settings.log_level)
    return run_job("training", settings, lambda run: train_models(run, settings))


if __name__ == "__main__":
    sys.exit(main())
