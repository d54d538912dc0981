"""What a person sees while the product starts and runs: where to look, how far the first runs are, what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from candlecast.errors import StoreUnavailable
from candlecast.settings import Settings
from candlecast.store import runs
from candlecast.store.database import Database
from candlecast.store.runs import RunRow

_SECONDS = 0.5
_WAITING = ("queued", "running")
_STEPS = {"service": "service", "ui": "screen", "ingestion": "candles", "training": "models"}


class Progress:
    """Follows the first runs until the first forecast is there and models are trained, then reports failures."""

    def __init__(self, console: Console, settings: Settings, database: Database, token: str, log: Path) -> None:
        self.console = console
        self.settings = settings
        self.database = database
        self.token = token
        self.log = log
        self.service_url = f"http://127.0.0.1:{settings.service_port}"
        self.ui_url = f"http://127.0.0.1:{settings.ui_port}"
        self._http = httpx.Client(timeout=5)
        self._reported: set[int] = set()
        self._forecast_said = False

    def show(self, done: threading.Event, watchers: Mapping[str, str]) -> None:
        """Write to the console until `done`; `watchers` are the addresses of what runs beside the product, by name."""
        self._print_addresses(watchers)
        columns = (
            TextColumn("{task.fields[what]:<8}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=self.console, transient=True) as bars:
            tasks = {step: bars.add_task("waiting", total=None, what=what) for step, what in _STEPS.items()}
            while not done.wait(_SECONDS) and not self._started(bars, tasks):
                pass
        if not done.is_set():
            self.console.print("Ready. Ctrl-C stops everything; what was written stays.")
        while not done.wait(_SECONDS):
            for run in self._runs():
                self._report_failure(run)

    def _print_addresses(self, watchers: Mapping[str, str]) -> None:
        series = self.settings.series
        venues = ", ".join(sorted({one.venue for one in series}))
        self.console.print(f"candlecast plays {len(series)} series of {venues}")
        self.console.print(f"  screen   {self.ui_url}")
        self.console.print(f"  service  {self.service_url}/v1/forecasts/latest")
        self.console.print(f"  token    {self.token}", markup=False)
        self.console.print(f"  logs     {self.log}")
        for name, address in watchers.items():
            self.console.print(f"  {name}  {address}", markup=False)

    def _started(self, bars: Bars, tasks: dict[str, TaskID]) -> bool:
        """Move the bars; return whether everything has been there once."""
        ready = {step: self._answers(f"{url}{path}") for step, url, path in self._endpoints()}
        for step, is_ready in ready.items():
            bars.update(tasks[step], total=1, completed=int(is_ready), description="ready" if is_ready else "starting")
        newest: dict[str, RunRow] = {}
        for run in self._runs():
            if run.job in tasks:
                newest.setdefault(run.job, run)
            self._report_failure(run)
        for job, run in newest.items():
            finished = run.state not in _WAITING
            done, total = (1, 1) if finished else (run.done, run.target)
            bars.update(tasks[job], completed=done, total=total, description=run.message or run.state)
        self._say_first_forecast(ready["service"])
        trained = "training" in newest and newest["training"].state not in _WAITING
        return all(ready.values()) and self._forecast_said and trained

    def _endpoints(self) -> Iterator[tuple[str, str, str]]:
        yield "service", self.service_url, "/readyz"
        yield "ui", self.ui_url, "/healthz"

    def _answers(self, url: str) -> bool:
        try:
            return self._http.get(url).is_success
        except httpx.HTTPError:
            return False

    def _say_first_forecast(self, service_ready: bool) -> None:
        if self._forecast_said or not service_ready:
            return
        try:
            forecasts = self._http.get(f"{self.service_url}/v1/forecasts/latest").json()["forecasts"]
        except (httpx.HTTPError, ValueError, KeyError):
            return
        for forecast in forecasts:
            if forecast["status"] != "abstained":
                self._forecast_said = True
                self.console.print(
                    f"First forecast written down: {forecast['series']} closes at {forecast['point']['close']:,.2f} "
                    f"at {forecast['target_time']} ({forecast['model_version']})"
                )
                return

    def _runs(self) -> list[RunRow]:
        try:
            with self.database.begin() as connection:
                return runs.recent(connection, limit=20)
        except StoreUnavailable:
            return []

    def _report_failure(self, run: RunRow) -> None:
        # Whoever stops the product knows that its runs were interrupted.
        failed = run.state == "failed" and run.error_code != "interrupted"
        if failed and run.id is not None and run.id not in self._reported:
            self._reported.add(run.id)
            self.console.print(f"{run.job} failed (run {run.id}): {run.error}", style="yellow", markup=False)
