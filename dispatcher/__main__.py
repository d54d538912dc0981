"""`python -m dispatcher`: turn run requests into runs; on a laptop also play the schedule."""

import signal
import sys
from typing import Protocol

from candlecast.program import run_program
from candlecast.settings import Settings
from candlecast.store.migrate import ready_database


class Dispatcher(Protocol):
    """Turns requests into runs until stopped."""

    def run(self) -> None:
        """Dispatch until stopped."""

    def stop(self) -> None:
        """Ask the loop to end."""


def main() -> int:
    """Dispatch until told to stop; return the exit code."""
    return run_program("dispatcher", _dispatch)


def _dispatch(settings: Settings) -> int:
    if settings.dispatcher_mode == "none":
        return 0
    dispatcher = _dispatcher(settings)
    signal.signal(signal.SIGTERM, lambda *_: dispatcher.stop())
    signal.signal(signal.SIGINT, lambda *_: dispatcher.stop())
    dispatcher.run()
    return 0


def _dispatcher(settings: Settings) -> Dispatcher:
    # Each with its own imports: a laptop needs no HTTP client, a cluster no process server.
    database = ready_database(settings)
    if settings.dispatcher_mode == "kubernetes":
        from dispatcher.kubernetes import KubernetesDispatcher

        return KubernetesDispatcher(settings, database)
    from dispatcher.local import LocalDispatcher

    return LocalDispatcher(settings, database)


if __name__ == "__main__":
    sys.exit(main())
