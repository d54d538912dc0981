"""Run the screen: `python -m ui`."""

from __future__ import annotations

import logging
import sys

from candlecast.program import Parser, run_program
from candlecast.serving import exit_cleanly_on_sigterm, require_free_port
from candlecast.settings import Settings

log = logging.getLogger("ui")


def main(arguments: list[str] | None = None) -> int:
    """Serve the screen until it is stopped; return the exit code."""
    given = _parser().parse_args(arguments)
    overrides = {"ui_host": given.host, "ui_port": given.port, "api_base_url": given.api_base_url}
    return run_program("ui", _serve, **overrides)


def _parser() -> Parser:
    parser = Parser(prog="python -m ui", description="The analyst's screen, over the HTTP API.")
    parser.add_argument("--host", help="address to listen on (CANDLECAST_UI_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (CANDLECAST_UI_PORT)")
    parser.add_argument("--api-base-url", help="where the service is (CANDLECAST_API_BASE_URL)")
    return parser


def _serve(settings: Settings) -> int:
    require_free_port(settings.ui_host, settings.ui_port, "CANDLECAST_UI_PORT")
    # Seconds of imports: only once it is clear that the screen can start.
    import uvicorn

    from candlecast.client import Client
    from candlecast.requests import LoggedRequests
    from ui.app import create_app
    from ui.gate import guarded

    own = settings.api_token.get_secret_value() if settings.api_token else None

    def connect(token: str | None) -> Client:
        return Client(settings.api_base_url, own or token)

    exit_cleanly_on_sigterm()
    app = LoggedRequests(guarded(create_app(connect, settings.ui_dashboards_url), settings))
    log.info("the screen of %s is at http://%s:%d", settings.api_base_url, settings.ui_host, settings.ui_port)
    uvicorn.run(app, host=settings.ui_host, port=settings.ui_port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
