"""How an address and libpq's variables become connections."""

import socketserver
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from candlecast.errors import StoreUnavailable
from candlecast.store.database import Database


class WithoutTls(socketserver.BaseRequestHandler):
    """The first words of a Postgres that speaks no TLS: it says No to whoever asks for it."""

    def handle(self) -> None:
        self.request.recv(8)
        self.request.sendall(b"N")


@pytest.fixture
def plain_url() -> Iterator[str]:
    """Return the address of such a server, in a URL that wants no TLS."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), WithoutTls) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"postgresql://me@127.0.0.1:{server.server_address[1]}/candles?sslmode=disable&sslrootcert=/mine"
        server.shutdown()


def test_the_mode_of_tls_that_the_environment_names_wins_over_the_urls(
    plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")
    with pytest.raises(StoreUnavailable, match="does not support SSL"), Database(plain_url).begin():
        pass


@pytest.mark.parametrize(("variable", "option"), [("PGSSLMODE", "sslmode"), ("PGSSLROOTCERT", "sslrootcert")])
def test_a_url_keeps_what_no_variable_overrules(
    plain_url: str, monkeypatch: pytest.MonkeyPatch, variable: str, option: str
) -> None:
    kept = make_url(Database(plain_url).address).query
    monkeypatch.setenv(variable, "given")
    assert make_url(Database(plain_url).address).query == {key: kept[key] for key in kept if key != option}
    assert option in kept
