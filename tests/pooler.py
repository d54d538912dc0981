"""Debian's PgBouncer in front of the tests' Postgres, set as unkindly as a managed database may be."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import URL, make_url

from tests.programs import free_port, running
from tests.waiting import eventually

PROGRAM = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")

requires_pooler = pytest.mark.skipif(
    PROGRAM is None or shutil.which("openssl") is None,
    reason="TRANSACTION POOLER NOT TESTED: pgbouncer or openssl is missing; apt-get install pgbouncer openssl",
)

IDLE_SECONDS = 1
"""Whoever is silent for longer between two transactions is cut off, on both sides of the pooler."""

_SETTINGS = """
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = {user}
pool_mode = transaction
max_client_conn = 50
default_pool_size = 4
client_tls_sslmode = require
client_tls_cert_file = {folder}/certificate
client_tls_key_file = {folder}/key
client_idle_timeout = {idle}
server_idle_timeout = {idle}
server_lifetime = 5
"""


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running PgBouncer in transaction mode; it speaks nothing but TLS, with a certificate that it signed itself."""

    port: int
    user: str
    certificate: Path

    def url(self, database: str) -> str:
        """Return the address of a database behind it; the certificate is checked."""
        query = {"sslmode": "verify-ca", "sslrootcert": str(self.certificate)}
        address = URL.create("postgresql", self.user, None, "127.0.0.1", self.port, database, query)
        return address.render_as_string(hide_password=False)

    def clients(self, database: str) -> int:
        """Return how many clients of `database` are connected."""
        with closing(psycopg2.connect(self.url("pgbouncer"))) as admin:
            admin.autocommit = True  # the console knows no transactions
            cursor = admin.cursor()
            cursor.execute("SHOW CLIENTS")
            names = [column.name for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return sum(client["database"] == database for client in found)


@contextmanager
def pooling(server_url: str, folder: Path) -> Iterator[Pooler]:
    """Run PgBouncer in front of the Postgres at `server_url`, with its files in `folder`."""
    server = make_url(server_url)
    pooler = Pooler(free_port(), server.username or "postgres", folder / "certificate")
    _write_files(server, pooler, folder)
    command = [str(PROGRAM), *_as_user(folder), str(folder / "settings")]
    with running(command, os.environ, folder / "log") as process:
        eventually(lambda: _listens(pooler.port) or process.poll() is not None, 20)
        assert process.poll() is None, (folder / "log").read_text()
        yield pooler


def _write_files(server: URL, pooler: Pooler, folder: Path) -> None:
    values = {
        "folder": folder,
        "port": pooler.port,
        "user": pooler.user,
        "idle": IDLE_SECONDS,
        "server": _place(server),
    }
    (folder / "settings").write_text(_SETTINGS.format(**values))
    (folder / "users").write_text(f'"{pooler.user}" "{server.password or ""}"\n')
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    request += ["-keyout", str(folder / "key"), "-out", str(pooler.certificate)]
    subprocess.run(request, check=True, capture_output=True)


def _place(server: URL) -> str:
    host = server.host or str(server.query.get("host", ""))
    return f"host={host} port={server.port or 5432} user={server.username or 'postgres'}"


def _as_user(folder: Path) -> list[str]:
    """PgBouncer refuses to run as root, so there it becomes the user that owns the embedded server's socket."""
    if os.geteuid() != 0:
        return []
    user = "pgserver"
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, user)
    return ["-u", user]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
