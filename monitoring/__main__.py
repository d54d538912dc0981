"""`python -m monitoring drift | export`: compare recent candles with training's, or show the state as metrics."""

import argparse
import sys

from candlecast.errors import CandlecastError
from candlecast.jobs import run_job
from candlecast.logs import set_up_logs
from candlecast.settings import Settings, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("drift", help="compare features and forecasts of the recent window with the reference, once")
    commands.add_parser("export", help="serve the state of the tables to Prometheus until stopped")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        set_up_logs(settings.log_level)
        return _run(options.command, settings)
    except CandlecastError as error:
        print(f"monitoring {options.command}: {error.message}", file=sys.stderr)  # noqa: T201  # perhaps no log level yet
        return error.exit_code


def _run(command: str, settings: Settings) -> int:
    if command == "export":
        from monitoring.exporter import export

        return export(settings)
    from monitoring.job import watch_drift

    return run_job("drift", settings, lambda run: watch_drift(run, settings))


if __name__ == "__main__":
    sys.exit(main())
