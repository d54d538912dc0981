"""How to read this: the words of the screen explained."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from candlecast.client import ApiError
from ui import manual, reading
from ui.page import Session, View
from ui.snapshot import Snapshot
from ui.tabs.base import Tab, Updates
from ui.words import words


class ReadingTab(Tab):
    """What skill, coverage, calibration and abstention mean."""

    name = "reading"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(reading.head("en"), elem_id="reading-head")
        self._lessons = gr.HTML(elem_id="reading-lessons")
        self._service = gr.HTML(elem_id="reading-service")
        with gr.Column(elem_id="manual", elem_classes="asking", visible=bool(manual.pages())):
            self._title = gr.HTML()
            self.page = gr.Dropdown(
                [(page.title, page.name) for page in manual.pages()], label="Page", elem_id="page-name", filterable=True
            )
            self._text = gr.Markdown(
                elem_id="page-text", elem_classes="document", latex_delimiters=[], sanitize_html=True
            )

    def controls(self) -> list[Any]:
        """Return the page of the documentation."""
        return [self.page]

    def chosen(self, view: View) -> Updates:
        """Return the page that the reader had last, or that a link names."""
        return {self.page: view.page if manual.page(view.page) else manual.FIRST}

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [self._head, self._lessons, self._title, self.page, self._text, self._service]

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
        found, say = session.found.get(self.name), words(view.language)
        return {
            self._head: reading.head(view.language),
            self._lessons: reading.lessons(view.language),
            self._title: f"<h2>{escape(say['reading_manual'])}</h2>",
            self.page: gr.update(label=say["reading_page"]),
            self._text: manual.page(view.page) or manual.page(manual.FIRST),
            self._service: reading.service(
                self.shared.reader.address,
                self.shared.dashboards,
                found if isinstance(found, tuple) else (),
                view.language,
            ),
        }
