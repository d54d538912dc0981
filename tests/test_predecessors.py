"""docs/predecessors.md: every feature that came from a predecessor lives somewhere and is proven."""

import re
from collections import Counter

import pytest

from tests.programs import ROOT
from tests.shared import SHARED, requires_shared

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/predecessors.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [ABC] \|", line)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}"[:60])
def test_every_feature_has_a_place_and_a_test(row: list[str]) -> None:
    _, _, _, where, proof = row
    places = re.findall(r"`([^`]+)`", where)
    assert places
    assert all((ROOT / place).exists() for place in places), where
    file, _, name = proof.strip("`").partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), proof


@requires_shared
def test_every_feature_that_is_kept_or_bettered_has_a_row() -> None:
    domain = (SHARED / "domain.md").read_text(encoding="utf-8")
    inventory = domain[domain.index("\n## 1. ") : domain.index("\n### 4.2 ")]
    replaced_or_dropped = ("R", "D")
    kept = Counter(
        predecessor
        for predecessor, disposition in re.findall(r"^\| ([ABC]) \| .* \| ([^|]*) \|$", inventory, re.MULTILINE)
        if not disposition.startswith(replaced_or_dropped)
    )
    assert Counter(row[0] for row in ROWS) == kept
