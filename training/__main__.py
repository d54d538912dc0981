"""`python -m training`: fit a challenger for every configured venue and interval, and promote those that earned it.

With a command it does something else, and nothing is stored.
"""

import sys

from candlecast.jobs import run_job
from candlecast.program import Parser, run_program
from candlecast.settings import Settings
from training import evaluate
from training.job import train_models


def main(arguments: list[str] | None = None) -> int:
    """Run training once, or the command that was given; return the exit code."""
    parser = Parser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(title="commands", parser_class=Parser)
    evaluation = commands.add_parser("evaluate", help="walk forward over candle files", description=evaluate.__doc__)
    evaluate.add_arguments(evaluation)
    evaluation.set_defaults(command=evaluate.evaluate)
    parser.set_defaults(command=None)
    given = parser.parse_args(arguments)
    if given.command is None:
        return run_program("training", _train)
    return run_program("training", lambda settings: given.command(given, settings))


def _train(settings: Settings) -> int:
    return run_job("training", settings, lambda run: train_models(run, settings))


if __name__ == "__main__":
    sys.exit(main())
