"""schemathesis asks everything that the OpenAPI document allows, and what it does not, and checks each answer."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlecast.store.database import Database
from tests.programs import running
from tests.service.house import BTC, TOKEN, House, begin, service_environment, serving, wait_until_ready

EXAMPLES = int(os.environ.get("CANDLECAST_SCHEMA_EXAMPLES", "15"))
"""Examples per operation; 20,000 in all are some 1,100 for each."""

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def lonely(database: Database, database_url: str, tmp_path: Path) -> Iterator[House]:
    """Return a service that nobody else asks: what is asked of it leaves runs behind."""
    begin(database, BTC)
    with serving(service_environment(database_url, tmp_path, str(BTC)), database, tmp_path) as house:
        wait_until_ready(house)
        yield house


@pytest.mark.timeout(max(300, 4 * EXAMPLES))
def test_every_answer_is_what_the_document_says(lonely: House, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIGURATION), "run"),
        *(str(lonely.http.base_url.join("/openapi.json")), "--no-color", "--continue-on-failure"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--warnings", "off"),
        # Wrong tokens would shut the address out; tests of their own send them.
        *("--checks", "all", "--exclude-checks", "ignored_auth"),
        *("--suppress-health-check", "all", "--output-truncate", "false"),
    ]
    log = tmp_path / "schemathesis.log"
    with running(command, os.environ, log, tmp_path) as asking:
        assert asking.wait() == 0, log.read_text()
    assert "traceback" not in lonely.log.read_text()
