"""What a process writes: one JSON object per line, whoever speaks."""

import json
import subprocess
import sys

_SPEAKS = """
import logging, warnings
from candlecast.logs import log_context, set_up_logs

set_up_logs("INFO")
with log_context(run_id=7):
    logging.getLogger("ours").info("two\\nlines", extra={"fields": {"series": "a"}})
warnings.warn("a library's warning", stacklevel=1)
"""


def test_every_line_is_json_a_librarys_warning_too() -> None:
    ran = subprocess.run([sys.executable, "-c", _SPEAKS], capture_output=True, text=True, timeout=60, check=True)
    ours, theirs = (json.loads(line) for line in ran.stderr.splitlines())
    assert (ours["message"], ours["run_id"], ours["series"]) == ("two\nlines", 7, "a")
    assert (theirs["level"], theirs["logger"]) == ("WARNING", "py.warnings")
    assert "a library's warning" in theirs["message"]
    assert "run_id" not in theirs
