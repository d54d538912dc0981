import subprocess
import sys

import pytest

PROGRAMS = ("candlecast.store", "dispatcher", "ingestion_job", "monitoring", "service", "training", "ui")
ARGUMENTS = {"candlecast.store": ["migrate"], "monitoring": ["export"]}


def run(program: str, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", program, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_names_a_wrong_setting_in_one_line_and_ends_with_78(
    program: str, environment: dict[str, str]
) -> None:
    ended = run(program, ARGUMENTS.get(program, []), environment | {"CANDLECAST_HORIZONS": "0"})
    assert ended.returncode == 78
    assert "CANDLECAST_HORIZONS" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("program", ["candlecast.store", "ingestion_job", "monitoring", "training", "ui"])
def test_a_misspelt_command_line_ends_with_64(program: str, environment: dict[str, str]) -> None:
    ended = run(program, ["--nope"], environment)
    assert ended.returncode == 64
    assert ended.stderr.startswith("usage:")
