"""A tiny real reverse proxy that puts a service below a prefix, and either takes it off again or leaves it on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Alter = Callable[[str, bytes], bytes]

_OWN = {"connection", "transfer-encoding", "content-length", "content-encoding", "date", "server"}


class Proxy(ThreadingHTTPServer):
    """Forwards what is below `prefix` to the service at `target`, and answers 404 to all else."""

    daemon_threads = True

    def __init__(self, target: str, prefix: str, *, strips: bool, alter: Alter) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.prefix, self.strips, self.alter = prefix, strips, alter
        self.service = httpx.Client(base_url=target, timeout=30)

    @property
    def url(self) -> str:
        """Return the proxy's own address, without the prefix."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _forward(self) -> None:
        proxy = self.server
        if not self.path.startswith(f"{proxy.prefix}/"):
            self.send_error(404)
            return
        path = self.path.removeprefix(proxy.prefix) if proxy.strips else self.path
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "host")}
        answer = proxy.service.request(self.command, path, content=body, headers=headers)
        content = proxy.alter(path, answer.content)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name not in _OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_OPTIONS = _forward  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        return


@contextmanager
def proxying(target: str, prefix: str, *, strips: bool, alter: Alter = lambda path, body: body) -> Iterator[Proxy]:
    """Run a proxy as long as the block lasts; `alter` gets the path and the body of each answer, and may change it."""
    proxy = Proxy(target, prefix, strips=strips, alter=alter)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
        proxy.service.close()
