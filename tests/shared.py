"""Real candles and recorded exchange answers, which live beside the repository and not in it."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("CANDLECAST_SHARED") or Path(__file__).parents[2] / "shared")
"""The folder of shared material; it may be missing in other clones."""

requires_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(),
    reason=f"REAL DATA NOT TESTED: {SHARED / 'data'} is missing; point CANDLECAST_SHARED at the shared folder",
)
