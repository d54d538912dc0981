"""`python -m training`: fit a challenger for every configured venue and interval, and promote those that earned it.

Commands that store nothing: `evaluate` walks forward over candle files, `features` writes a feature matrix, `rebuild`
fits a registered version again and compares the bytes; each has its own --help.
"""

import sys
from importlib import import_module

from candlecast.jobs import run_job
from candlecast.program import Parser, refuse_arguments, run_program
from candlecast.settings import Settings
from training.job import take_part, train_models

COMMANDS = ("evaluate", "features", "rebuild")
"""Modules with `add_arguments` and `run`, imported when they are asked for: they carry what a training does not."""


def main(arguments: list[str] | None = None) -> int:
    """Run training once, or the command that was given; return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in COMMANDS:
        return _command(given[0], given[1:])
    refuse_arguments("training", __doc__, given)
    return run_program("training", _train)


def _train(settings: Settings) -> int:
    return run_job("training", settings, lambda run: train_models(run, settings), lambda run: take_part(run, settings))


def _command(name: str, given: list[str]) -> int:
    module = import_module(f"training.{name}")
    parser = Parser(prog=f"python -m training {name}", description=module.__doc__)
    module.add_arguments(parser)
    arguments = parser.parse_args(given)
    return run_program(f"training {name}", lambda settings: module.run(arguments, settings))


if __name__ == "__main__":
    sys.exit(main())
