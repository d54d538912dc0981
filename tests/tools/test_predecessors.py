"""What was kept of earlier programs: every row names a place that exists and a test that exists."""

import ast
import re
from functools import cache

import pytest

from tests.programs import ROOT
from tests.shared import SHARED, requires_shared

_TEXT = (ROOT / "docs/predecessors.md").read_text()
_ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in _TEXT.splitlines()
    if re.match(r"\| [ABC] \|", line)
]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_PLACE = re.compile(r"`([\w./-]*/[\w./-]*)`")


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: f"{row[0]}: {row[1][:50]}")
def test_a_row_has_its_place_and_its_proof(row: tuple[str, ...]) -> None:
    _, _, here, proof = row
    places = [place for place in _PLACE.findall(here) if not place.startswith("/")]
    assert here
    assert not [place for place in places if not (ROOT / place).exists()]
    proofs = _TEST.findall(proof)
    assert proofs
    assert not [name for path, name in proofs if name not in _tests(path)]


@cache
def _tests(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@requires_shared
def test_everything_that_was_to_be_kept_has_a_row() -> None:
    inventory = (SHARED / "domain.md").read_text().partition("\n## 1.")[2].partition("\n### 4.2")[0]
    wanted = re.findall(r"^\| ([ABC]) \|.*\| (?:K|B|all K)\b[^|]*\|$", inventory, flags=re.MULTILINE)
    ours = [row[0] for row in _ROWS]
    for predecessor in "ABC":
        assert ours.count(predecessor) >= wanted.count(predecessor) > 5
