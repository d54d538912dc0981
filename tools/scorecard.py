"""`python -m tools.scorecard`: write docs/kubernetes-scorecard.md, what was seen to hold of the installation.

The rows are in `tests/deploy/rows.yaml`; the outcomes, recorded by `tests/rows.py` while the tests ran, in
`tests/deploy/outcomes.json`. Nothing is run here and nothing is believed that was not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "tests/deploy/rows.yaml"
OUTCOMES = ROOT / "tests/deploy/outcomes.json"
PAGE = ROOT / "docs/kubernetes-scorecard.md"

_HEAD = """\
# Scorecard of the installation

What a chart of this kind should do, row by row, the tests that try it, and what came of it when they last ran.
Generated from their outcomes: `make scorecard` runs those that need files only, `make test-cluster` those that need a
real cluster, and both write this page anew. A row holds when every test of it passed; a test may prove several rows.

`holds`: all its tests passed. `in part`: they passed, and something of the row was not tried: what the note says, or
the part that needs a cluster. `fails`: one failed. `not seen`: no test of it ran.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one test."""

    test: str
    passed: int
    failed: int
    skipped: int
    commit: str

    @property
    def holds(self) -> bool:
        """Whether it ran and nothing of it failed."""
        return self.passed > 0 and self.failed == 0

    @property
    def on_cluster(self) -> bool:
        """Whether it held on a real cluster."""
        return self.holds and self.test.startswith("tests/cluster/")

    def __str__(self) -> str:
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return f"`{self.test.removeprefix('tests/')}` {told} at {self.commit}"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")  # noqa: T201  # a command's answer
    return 0


def page() -> str:
    """Return the page's text."""
    proofs = read_proofs()
    rows: Mapping[int, Mapping[str, str]] = yaml.safe_load(ROWS.read_text(encoding="utf-8"))
    verdicts = {number: verdict(row, proofs.get(number, ())) for number, row in rows.items()}
    counts = ", ".join(f"{list(verdicts.values()).count(word)} {word}" for word in dict.fromkeys(verdicts.values()))
    lines = [_HEAD, f"{len(rows)} rows: {counts}.", "", "| row | what | tests and what came of them | result |"]
    lines.append("|---|---|---|---|")
    for number, row in rows.items():
        told = [*map(str, proofs.get(number, ())), *filter(None, [row.get("note")])]
        lines.append(f"| {number} | {row['what']} | {'<br>'.join(told)} | {verdicts[number]} |")
    return "\n".join(lines) + "\n"


def read_proofs() -> dict[int, list[Proof]]:
    """Return what was recorded of tests that still prove something, by row."""
    recorded: dict[str, dict[str, Any]] = json.loads(OUTCOMES.read_text(encoding="utf-8"))
    proofs: dict[int, list[Proof]] = {}
    for test, seen in recorded.items():
        if not _exists(test):
            continue
        passed, failed, skipped = (seen.get(word, 0) for word in ("passed", "failed", "skipped"))
        for row in seen["rows"]:
            proofs.setdefault(row, []).append(Proof(test, passed, failed, skipped, seen["commit"]))
    return proofs


def _exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.exists() and f"def {name.rpartition('::')[2]}(" in path.read_text(encoding="utf-8")


def verdict(row: Mapping[str, str], proofs: list[Proof] | tuple[()]) -> str:
    """Return the word for a row: what its tests, and its note, say together."""
    if any(proof.failed for proof in proofs):
        return "fails"
    if not any(proof.holds for proof in proofs):
        return "not seen"
    unseen = "seen" in row and not any(proof.on_cluster for proof in proofs)
    return "in part" if unseen or "note" in row or not all(proof.holds for proof in proofs) else "holds"


if __name__ == "__main__":
    raise SystemExit(main())
