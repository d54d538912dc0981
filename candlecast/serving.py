"""What the processes that listen on a port have in common."""

import signal
import socket
import sys

from candlecast.errors import ConfigurationError


def require_free_port(host: str, port: int, variable: str) -> None:
    """Raise ConfigurationError, naming the way out, when nothing can listen on `host`:`port`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on {host} cannot be used ({error.strerror}); stop what listens there, "
                f"or set {variable} to a free one"
            ) from None


def exit_cleanly_on_sigterm() -> None:
    """Let SIGTERM end this process with 0: uvicorn raises the signal again once it has shut down."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
