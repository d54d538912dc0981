"""`python -m dispatcher`: turn run requests into runs; on a laptop also play the schedule."""

import signal
import sys

from candlecast.errors import CandlecastError
from candlecast.logs import set_up_logs
from candlecast.settings import load_settings
from candlecast.store.migrate import ready_database
from dispatcher.local import LocalDispatcher


def main() -> int:
    """Dispatch until told to stop; return the exit code."""
    try:
        settings = load_settings()
        set_up_logs(settings.log_level)
        if settings.dispatcher_mode == "none":
            return 0
        dispatcher = LocalDispatcher(settings, ready_database(settings))
    except CandlecastError as error:
        print(f"dispatcher: {error.message}", file=sys.stderr)  # noqa: T201  # perhaps no log level is known yet
        return error.exit_code
    signal.signal(signal.SIGTERM, lambda *_: dispatcher.stop())
    signal.signal(signal.SIGINT, lambda *_: dispatcher.stop())
    dispatcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
