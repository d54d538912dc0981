"""`python -m monitoring drift | export`: compare recent candles with training's, or show the state as metrics."""

import sys

from candlecast.jobs import run_job
from candlecast.program import Parser, run_program
from candlecast.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = Parser(prog="python -m monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("drift", help="compare features and forecasts of the recent window with the reference, once")
    commands.add_parser("export", help="serve the state of the tables to Prometheus until stopped")
    options = parser.parse_args(arguments)
    return run_program(f"monitoring {options.command}", lambda settings: _run(options.command, settings))


def _run(command: str, settings: Settings) -> int:
    if command == "export":
        from monitoring.exporter import export

        return export(settings)
    # pandas imports it wherever it is installed; nothing here needs it, nor its 40 MiB.
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # None is Python's own way to say "not here"
    from monitoring.job import watch_drift

    return run_job("drift", settings, lambda run: watch_drift(run, settings))


if __name__ == "__main__":
    sys.exit(main())
