"""`make run`: the whole product on this machine, on an embedded Postgres, until Ctrl-C."""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx
from honcho import manager
from honcho.environ import parse_procfile
from honcho.printer import Printer
from rich.console import Console

from candlecast.candles import VENUES
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, ConfigurationError
from candlecast.program import Parser
from candlecast.serving import require_free_port
from candlecast.settings import Settings, load_settings
from candlecast.store.clocks import resume_clock
from candlecast.store.database import Database, open_database
from candlecast.store.migrate import migrate
from tools import watching
from tools.progress import Progress

ROOT = Path(__file__).parent.parent

_SIMULATED = {"series": "simulated:{BTC,ETH,SOL,BNB,XRP}-USDT:{1m,5m}", "backfill_days": "14"}
# Reading files costs nothing, and more history makes a better model.
_REPLAY = {"backfill_days": "365"}
_REACH_SECONDS = 5.0

Environment = dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C; return the exit code."""
    # Lines are not broken at a width: a terminal does that itself, and a file or a pipe wants them whole.
    console = Console(highlight=False, soft_wrap=True)
    try:
        return _run(_parse(arguments), console)
    except KeyboardInterrupt:  # before there was anything to stop in order
        console.print("Stopped.")
        return 0
    except CandlecastError as error:
        console.print(f"candlecast: {error.message}", style="bold red", markup=False)
        return error.exit_code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="make run", description=__doc__)
    parser.add_argument("--venue", default="", help=f"one of {', '.join(VENUES)}; found out when left out")
    parser.add_argument("--data", default="", help="replay: the folder of candle files")
    parser.add_argument("--series", default="", help="series as in CANDLECAST_SERIES")
    parser.add_argument("--start", default="", help="replay: where the clock starts, such as 2025-09-01")
    parser.add_argument("--speed", default="", help="replay: venue seconds per wall second")
    parser.add_argument("--monitoring", default="", help="anything: run exporter and Prometheus too")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, console: Console) -> int:
    environment = _venue_environment(options, console)
    settings = _settings(environment)
    _require_one_venue(options.venue, settings)
    require_free_port("127.0.0.1", settings.service_port, "CANDLECAST_SERVICE_PORT")
    require_free_port("127.0.0.1", settings.ui_port, "CANDLECAST_UI_PORT")
    if options.monitoring:
        watching.require_watchers(settings)
    with console.status("Starting the database"), closing(open_database(settings)) as database:
        migrate(database)
        _resume(database, settings, console)
        environment |= _token_environment(settings)
        if settings.database_url is None:
            environment |= _database_environment(database)
    settings = _settings(environment)
    return _serve(environment, settings, console, watched=bool(options.monitoring))


def _require_one_venue(venue: str, settings: Settings) -> None:
    others = sorted({series.venue for series in settings.series} - {venue})
    if venue and others:
        raise ConfigurationError(
            f"VENUE={venue}, but the series to play are of {', '.join(others)}; set SERIES, or unset CANDLECAST_SERIES"
        )


def _settings(environment: Mapping[str, str]) -> Settings:
    os.environ.update(environment)
    return load_settings()


def _venue_environment(options: argparse.Namespace, console: Console) -> Environment:
    """Return what the options say as environment variables, with the venue's defaults below them."""
    chosen = {
        "series": options.series,
        "replay_dir": options.data and str(Path(options.data).resolve()),
        "replay_start": options.start,
        "replay_speed": options.speed,
    }
    given = {_variable(name): value for name, value in chosen.items() if value}
    venue = options.venue or ("" if _variable("series") in {**os.environ, **given} else _reachable_venue(console))
    if venue and venue not in VENUES:
        raise ConfigurationError(f"unknown VENUE={venue}; known are {', '.join(VENUES)}")
    defaults = {_variable(name): value for name, value in _venue_defaults(venue, options.data).items()}
    return {**{name: value for name, value in defaults.items() if name not in os.environ}, **given}


def _venue_defaults(venue: str, data: str) -> Environment:
    if venue == "simulated":
        return _SIMULATED
    if venue != "replay":
        return {}
    from candlecast.venues.replay import default_series, scan

    folder = data or os.environ.get(_variable("replay_dir"), "")
    if not folder:
        raise ConfigurationError("VENUE=replay needs a folder of candle files; add DATA=DIR")
    return _REPLAY | {"series": ",".join(map(str, default_series(scan(Path(folder)))))}


def _reachable_venue(console: Console) -> str:
    """Return binance where it answers; else say why not, in one line, and return simulated."""
    url = load_settings().binance_url
    try:
        httpx.get(f"{url}/api/v3/time", timeout=_REACH_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        line = f"Binance cannot be reached ({reason}): this is a SIMULATED market."
        console.print(line, style="yellow", markup=False)
        return "simulated"
    return "binance"


def _resume(database: Database, settings: Settings, console: Console) -> None:
    """Let a replay that was stopped go on, and say so: its START counts only the first time."""
    if "replay" not in {series.venue for series in settings.series}:
        return
    with database.begin() as connection:
        clock = resume_clock(connection, "replay", speed=settings.replay_speed)
    if clock != VenueClock():
        line = f"The replay goes on from {clock.start:%Y-%m-%d %H:%M} UTC; `make clean` lets it start anew."
        console.print(line, markup=False)


def _database_environment(database: Database) -> Environment:
    return {_variable("database_url"): database.address, _variable("database_direct_url"): database.address}


def _token_environment(settings: Settings) -> Environment:
    """Keep one random token per data folder, for the screen and for curl."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    file = settings.data_dir / "token"
    file.touch(mode=0o600)
    token = file.read_text().strip() or secrets.token_urlsafe(24)
    file.write_text(token)
    tokens = {**settings.api_tokens, "local": hashlib.sha256(token.encode()).hexdigest()}
    return {
        _variable("api_token"): token,
        _variable("api_tokens"): ",".join(f"{name}:{digest}" for name, digest in tokens.items()),
        _variable("api_base_url"): f"http://127.0.0.1:{settings.service_port}",
    }


def _serve(environment: Environment, settings: Settings, console: Console, *, watched: bool) -> int:
    log = settings.data_dir / "run.log"
    done = threading.Event()
    with log.open("w") as output, closing(open_database(settings)) as database:
        processes = _processes(
            environment, Printer(output, colour=False), watching.commands(settings) if watched else {}
        )
        progress = threading.Thread(
            target=Progress(console, settings, database, environment[_variable("api_token")], log).show,
            args=(done, watching.addresses(settings) if watched else {}),
            daemon=True,
        )
        progress.start()
        # A terminal that is closed ends everything too; honcho itself listens to the other two signals.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        try:
            processes.loop()
        finally:
            done.set()
            progress.join(timeout=5)
    code: int = processes.returncode or 0
    stopped = code in (130, 143)
    console.print("Stopped." if stopped else f"A process ended by itself; the end of {log} says why.")
    return 0 if stopped else 1


class _Processes(manager.Manager):  # type: ignore[misc]  # honcho carries no types
    """Honcho's manager, which can also be told to stop while it still starts its processes.

    Honcho signals processes by numbers that they tell a moment after their start; without one it fails, and all go on.
    """

    def __init__(self, printer: Printer) -> None:
        super().__init__(printer)
        self._told_early = False

    def terminate(self) -> None:
        """Stop all processes; while some still start, remember it for the loop, which asks again."""
        if self._all_started():
            super().terminate()
        else:
            self._told_early = True

    def _any_stopped(self) -> bool:
        return self._told_early or bool(super()._any_stopped())


def _processes(environment: Environment, printer: Printer, watchers: Mapping[str, str]) -> _Processes:
    # A run in the middle of a chunk may finish it.
    manager.KILL_WAIT = 20
    processes = _Processes(printer)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    everything = {**os.environ, **environment, "PATH": path, "PYTHONUNBUFFERED": "1"}
    ours = parse_procfile((ROOT / "Procfile").read_text()).processes
    for name, command in {**ours, **watchers}.items():
        processes.add_process(name, command, env=everything, cwd=str(ROOT))
    return processes


def _variable(name: str) -> str:
    return f"CANDLECAST_{name.upper()}"


if __name__ == "__main__":
    sys.exit(main())
