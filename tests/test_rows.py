"""What the scorecard is made of: the outcomes of tests that exist."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT


def test_a_test_that_was_not_run_keeps_its_outcome_and_one_that_is_gone_loses_it(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = row: rows\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.row(1, 2)\ndef test_runs(): pass\n\ndef test_waits(): pass\n"
    )
    rows = tmp_path / "rows.json"
    told = {"rows": [3], "passed": 1, "commit": "before"}
    rows.write_text(
        json.dumps(dict.fromkeys(("test_it.py::test_waits", "test_it.py::test_gone", "gone.py::test_it"), told))
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.rows",
        "--rows",
        str(rows),
        "-k",
        "test_runs",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=60)
    found = json.loads(rows.read_text())
    assert found.keys() == {"test_it.py::test_runs", "test_it.py::test_waits"}
    assert found["test_it.py::test_waits"] == told
    assert (found["test_it.py::test_runs"]["rows"], found["test_it.py::test_runs"]["passed"]) == ([1, 2], 1)
