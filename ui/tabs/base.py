"""What all tabs have in common: their place in the page, and work that is asked for and watched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import gradio as gr

from candlecast.api import JobName
from candlecast.client import ApiError, Client, ServiceAway
from ui import runs
from ui.page import Session, View, read
from ui.snapshot import Snapshot
from ui.words import words

Updates = dict[Any, Any]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
REMEMBER = "(...args) => candlecast.remember(args)"
LOOK = "(...args) => candlecast.look(args)"
CHANGED = "(...args) => candlecast.changed(args)"
DRAW = "() => candlecast.draw()"


@dataclass
class Shared:
    """What every tab uses of the page: the service, the controls that all have in common, the token."""

    connect: Callable[[str | None], Client]
    reader: Client
    """One pool of connections for everything that only reads."""
    dashboards: str | None = None
    """Where the dashboards are."""
    inputs: list[Any] = field(default_factory=list)
    """The controls in the order of `ui.page.read`."""
    token: Any = None

    def watch(
        self,
        job: JobName,
        series: list[str] | None,
        token: str,
        view: View,
        start: datetime | None = None,
        end: datetime | None = None,
        session: Session | None = None,
    ) -> Generator[str, None, bool]:
        """Ask for a run, yield what it says, return whether it succeeded. `session` notes which one can be stopped."""
        with self.connect(token or None) as client:
            try:
                for run, waited in runs.follow(client, job, series, start, end):
                    if session is not None:
                        session.watched = None if runs.ended(run) else run.request_id
                    yield runs.progress(run, waited, view.language)
            except (ApiError, ServiceAway) as error:
                yield runs.refusal(error, view.language, token_given=bool(token) or self.reader.has_token)
                return False
        return run.state == "succeeded"

    def work(self, job: JobName) -> Callable[..., Iterator[str]]:
        """Return what a button does that asks for a run over everything."""

        def ask(*given: Any) -> Iterator[str]:
            *page, token = given
            view, _, _, _ = read(*page)
            yield runs.line(words(view.language)["asking"])
            yield from self.watch(job, None, token, view)

        return ask


class Tab:
    """One tab. `build` makes its components, `listen` ties what happens in it, the rest is called on every look."""

    name: ClassVar[str]

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.column: gr.Column

    def place(self, *, visible: bool) -> None:
        """Make the tab's components, below what is there already."""
        with gr.Column(elem_id=f"tab-{self.name}", elem_classes="tab", visible=visible) as self.column:
            self.build()

    def build(self) -> None:
        """Make the components."""
        raise NotImplementedError

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie clicks to what they do; `redraw` looks anew and draws the frame and the tab, the `outputs`."""

    def controls(self) -> list[Any]:
        """Return the tab's controls that change what it shows, beyond those in `Shared.inputs`."""
        return []

    def chosen(self, view: View) -> Updates:
        """Return the values that `view` gives the tab's own controls."""
        return {}

    def outputs(self) -> list[Any]:
        """Return the components that `draw` and `label` change."""
        raise NotImplementedError

    def gather(self, snapshot: Snapshot, view: View, before: object) -> object:
        """Ask the service for what the tab shows beside the snapshot. Raises client errors."""
        return None

    def draw(self, session: Session, view: View) -> Updates:
        """Return the tab as it looks now."""
        raise NotImplementedError

    def label(self, view: View) -> Updates:
        """Return the words on the tab's controls."""
        return {}
