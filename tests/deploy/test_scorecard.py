"""The scorecard tells of what was run, and of every row."""

import re
from pathlib import Path

import pytest

from tools import scorecard
from tools.scorecard import ROOT, Proof, read_proofs, verdict

RAN = Proof("tests/deploy/test_x.py::test_y", 1, 0, 0, "abc")
ON_CLUSTER = Proof("tests/cluster/test_x.py::test_y", 1, 0, 0, "abc")
FAILED = Proof("tests/deploy/test_x.py::test_z", 3, 1, 0, "abc")
SKIPPED = Proof("tests/deploy/test_x.py::test_s", 0, 0, 2, "abc")


@pytest.mark.parametrize(
    ("row", "proofs", "word"),
    [
        ({}, [RAN], "holds"),
        ({}, [RAN, FAILED], "fails"),
        ({}, [], "not seen"),
        ({}, [SKIPPED], "not seen"),
        ({}, [RAN, SKIPPED], "in part"),
        ({"note": "half of it"}, [RAN], "in part"),
        ({"seen": "on a cluster"}, [RAN], "in part"),
        ({"seen": "on a cluster"}, [RAN, ON_CLUSTER], "holds"),
    ],
)
def test_a_row_holds_when_all_of_it_was_seen(row: dict[str, str], proofs: list[Proof], word: str) -> None:
    assert verdict(row, proofs) == word


def test_every_recorded_test_says_what_it_proves() -> None:
    for row, proofs in read_proofs().items():
        for proof in proofs:
            text = (ROOT / proof.test.partition("::")[0]).read_text(encoding="utf-8")
            assert re.search(rf"mark\.row\([^)]*\b{row}\b", text), (proof.test, row)


def test_the_page_tells_of_every_row() -> None:
    page = scorecard.page()
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(range(1, 59))


def test_every_mark_names_a_row_that_exists() -> None:
    for file in Path(ROOT / "tests").rglob("test_*.py"):
        for rows in re.findall(r"@pytest\.mark\.row\(([\d, ]+)\)", file.read_text(encoding="utf-8")):
            assert all(1 <= int(row) <= 58 for row in rows.split(","))
