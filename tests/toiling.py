"""A job of parts that say who does them, and do what files in a folder tell them: `python -m tests.toiling FOLDER`.

A file `hold-NAME` keeps whoever does the part from going on until it is gone; `fail-NAME` lets the part fail, and
`raise-NAME` lets it raise. With `impatient` nobody waits long for a leader.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from candlecast.errors import ConfigurationError, VenueUnavailable
from candlecast.jobs import Run, run_job
from candlecast.program import run_program
from candlecast.settings import Settings
from candlecast.sharing import Lane
from candlecast.store.parts import Part

JOB = "ingestion"
NAMES = tuple(f"part{number}" for number in range(12))
PHASES = ("first", "second")


def done(folder: Path) -> list[tuple[str, int]]:
    """Return the parts that were done, in that order, and which process did each."""
    path = folder / "done"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(part, int(pid)) for part, _, pid in (line.rpartition(" ") for line in lines)]


def held(folder: Path, name: str) -> list[int]:
    """Return the processes that wait in a part that is held."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob(f"at-{name}-*")]


def main() -> int:
    """Toil as the settings say."""
    return run_program("toiling", partial(toil, Path(sys.argv[1])))


def toil(folder: Path, settings: Settings) -> int:
    """Lead a run, or take part in one."""

    def lane(run: Run) -> Lane:
        work = partial(_work, folder, run)
        return Lane(run, "all", work, at_once=2, parallelism=settings.ingestion_parallelism)

    def lead(run: Run) -> str:
        run.plan(len(PHASES) * len(NAMES))
        left = NAMES
        for phase in PHASES:
            left = tuple(lane(run).share(phase, {name: {"number": NAMES.index(name)} for name in left}))
        return f"{len(left)} parts of {len(NAMES)}"

    patience = 0.1 if (folder / "impatient").exists() else 60
    return run_job(JOB, settings, lead, lambda run: lane(run).take_part(), patience=patience)


def _work(folder: Path, run: Run, parts: Sequence[Part]) -> dict[str, Any]:
    return {part.name: number for part in parts for number in _do(folder, run, part)}


def _do(folder: Path, run: Run, part: Part) -> Iterator[int]:
    marker = folder / f"at-{part.name}-{os.getpid()}"
    while (folder / f"hold-{part.name}").exists():
        marker.touch()
        run.sleep(0.02)
        run.advance(f"held in {part}")
    if (folder / f"raise-{part.name}").exists():
        raise ConfigurationError(f"{part.name} raises as planned")
    with (folder / "done").open("a") as file:
        file.write(f"{part} {os.getpid()}\n")
    run.advance(str(part), done=1, rows=part.task["number"])
    if (folder / f"fail-{part.name}").exists():
        run.fail(part.name, VenueUnavailable("it fails as planned"))
    else:
        yield part.task["number"]


if __name__ == "__main__":
    sys.exit(main())
