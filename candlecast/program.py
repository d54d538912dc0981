"""The border of every process: settings in, an exit code out, errors as one sentence."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from candlecast.errors import CandlecastError, UsageError
from candlecast.logs import set_up_logs
from candlecast.settings import Settings, load_settings


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with candlecast's exit code for a misspelt command line."""

    def error(self, message: str) -> NoReturn:
        """Print usage and `message`, and exit with 64."""
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")


def run_program(name: str, program: Callable[[Settings], int], **overrides: Any) -> int:
    """Read the settings, with `overrides` on top, set up logs, and return the program's exit code.

    An error that candlecast raises on purpose ends it with its sentence on standard error and its own exit code.
    """
    try:
        settings = load_settings(**overrides)
        set_up_logs(settings.log_level)
        return program(settings)
    except CandlecastError as error:
        print(f"{name}: {error.message}", file=sys.stderr)  # noqa: T201  # perhaps no log level is known yet
        return error.exit_code


def refuse_arguments(name: str, description: str | None, arguments: list[str] | None) -> None:
    """Answer --help and refuse anything else: this program takes its settings from the environment."""
    Parser(prog=f"python -m {name}", description=description).parse_args(arguments)
