"""What several tests of the installation need."""

import shutil
from pathlib import Path

import certifi
import pytest

from candlecast.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a cluster's dispatcher, with a token and a certificate to read."""
    shutil.copy(certifi.where(), tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first\n")
    return Settings(
        namespace="here",
        cronjobs={"training": "r-training"},
        kubernetes_credentials=tmp_path,
        poll_seconds=0.01,
    )
