"""What rules and dashboards are made of."""

import re
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.programs import ROOT

MONITORING = ROOT / "monitoring"


def names_in(expression: str) -> set[str]:
    """Return the names of our metrics that a PromQL expression uses."""
    return set(re.findall(r"\bcandlecast_\w+", expression))


def requires(program: str) -> Callable[[Any], Any]:
    """Skip a test where `program` is not installed, so that nobody overlooks it."""
    missing = shutil.which(program) is None
    line = f"NO {program.upper()}: rules and dashboards are not tried; apt-get install prometheus"
    if missing:
        print(f"\n{line}", file=sys.__stderr__, flush=True)
    return pytest.mark.skipif(missing, reason=line)
