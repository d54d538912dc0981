"""How to read this: the words of the screen explained."""

from __future__ import annotations

from typing import Any

import gradio as gr

from candlecast.client import ApiError
from ui import reading
from ui.page import Session, View
from ui.snapshot import Snapshot
from ui.tabs.base import Tab, Updates


class ReadingTab(Tab):
    """What skill, coverage, calibration and abstention mean."""

    name = "reading"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(reading.head("en"), elem_id="reading-head")
        self._lessons = gr.HTML(elem_id="reading-lessons")
        self._service = gr.HTML(elem_id="reading-service")

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [self._head, self._lessons, self._service]

    def gather(self, snapshot: Snapshot, view: View, before: object) -> tuple[reading.Route, ...]:
        """Ask once for the routes that the service describes."""
        if isinstance(before, tuple):
            return before
        try:
            return reading.routes(self.shared.reader.document())
        except ApiError:
            return ()

    def draw(self, session: Session, view: View) -> Updates:
        """Return the page in the reader's language."""
        found = session.found.get(self.name)
        return {
            self._head: reading.head(view.language),
            self._lessons: reading.lessons(view.language),
            self._service: reading.service(
                self.shared.reader.address, found if isinstance(found, tuple) else (), view.language
            ),
        }
