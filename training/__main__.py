"""`python -m training`: fit a challenger for every configured venue and interval, and promote those that earned it."""

import sys

from candlecast.jobs import run_job
from candlecast.program import refuse_arguments, run_program
from training.job import train_models


def main(arguments: list[str] | None = None) -> int:
    """Run training once; return its exit code."""
    refuse_arguments("training", __doc__, arguments)
    return run_program(
        "training", lambda settings: run_job("training", settings, lambda run: train_models(run, settings))
    )


if __name__ == "__main__":
    sys.exit(main())
