"""`python -m service`: the service under uvicorn, with as many workers as configured."""

import ctypes
import gc
import os
import sys
import tempfile
from contextlib import suppress

from candlecast.logs import set_up_logs
from candlecast.program import run_program
from candlecast.serving import exit_cleanly_on_sigterm, require_free_port
from candlecast.settings import Settings, load_settings

_SWITCH_SECONDS = 0.0005
"""How long a thread that computes may keep one that answers waiting; Python's own 5 ms are a hundred ready answers."""


def main() -> int:
    """Serve until told to stop; return the exit code."""
    return run_program("service", _serve)


def _serve(settings: Settings) -> int:
    require_free_port(settings.service_host, settings.service_port, "CANDLECAST_SERVICE_PORT")
    exit_cleanly_on_sigterm()
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    with tempfile.TemporaryDirectory(prefix="candlecast-metrics-") as directory:
        # Before the first import of prometheus_client: there it decides whether workers share their numbers.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", directory)
        import uvicorn

        uvicorn.run(
            "service.__main__:create_app",
            factory=True,
            host=settings.service_host,
            port=settings.service_port,
            workers=settings.service_workers,
            access_log=False,
            log_config=None,
            http="service.shortcut:ShortcutProtocol",
            ws="none",
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=20,
        )
    return 0


def create_app() -> object:
    """Return the ASGI app of one worker, which logs like all others from its first line on."""
    settings = load_settings()
    set_up_logs(settings.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    from service.app import Candlecast, public_api
    from service.shortcut import Shortcut

    app = Candlecast.to_asgi()  # type: ignore[attr-defined]  # the decorator returns another type than mypy sees
    _settle()
    return Shortcut(app, public_api, settings)


def _settle() -> None:
    """Keep what was imported out of garbage collections, which answers would wait for, and give back what it took."""
    gc.freeze()
    with suppress(AttributeError):  # malloc_trim is glibc's alone
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    sys.exit(main())
