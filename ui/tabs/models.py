"""The Models tab: the registry, training, and choosing a champion by hand."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from candlecast.api import ModelVersion, Trial
from candlecast.client import ApiError, ServiceAway
from ui import registry, runs
from ui.history import history
from ui.manual import embedded
from ui.page import Session, View, read
from ui.snapshot import Snapshot
from ui.tabs.base import LOOK, QUIET, Tab, Updates
from ui.words import words

_VERSIONS = 30


class ModelsTab(Tab):
    """Which versions there are, why each may or may not answer, and making one the champion."""

    name = "models"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(registry.head("en"), elem_id="models-head")
        with gr.Column(elem_id="teach", elem_classes="asking"):
            self._title = gr.HTML()
            with gr.Row(elem_classes="buttons"):
                self._train = gr.Button("Train now", variant="primary", elem_id="train")
                self._version = gr.Dropdown(label="Version", elem_id="version", filterable=False)
                self._reason = gr.Textbox(label="Why this one", max_lines=1, elem_id="reason")
                self._sure = gr.Checkbox(label="yes", elem_id="sure", container=False)
                self._promote = gr.Button("Make champion", elem_id="promote")
            self._progress = gr.HTML(elem_id="progress", elem_classes="progress")
        self._versions = gr.HTML(registry.versions((), None, "en"), elem_id="models-versions")
        with gr.Row(elem_classes="duo"):
            self._history = gr.HTML(history((), None, "en"), elem_id="models-history")
            self._card = gr.HTML(registry.card(None, None, "en"), elem_id="models-card")
        self._trials = gr.HTML(elem_id="models-trials")
        with gr.Accordion("The whole card", open=False, elem_id="models-whole") as self._accordion:
            self._whole = gr.Markdown(elem_id="models-whole-card", elem_classes="document", latex_delimiters=[])

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie the buttons and the choice of a version."""
        inputs, asked = self.shared.inputs, [*self.shared.inputs, self.shared.token]
        self._train.click(
            self.shared.work("training"), asked, [self._progress], js=LOOK, trigger_mode="once", **QUIET
        ).then(redraw, inputs, outputs, js=LOOK, **QUIET)
        chosen = [*asked, self._version, self._reason, self._sure]
        self._promote.click(self.promote, chosen, [self._progress, self._sure], js=LOOK, **QUIET).then(
            redraw, inputs, outputs, js=LOOK, **QUIET
        )
        self._version.input(
            self.show, [*inputs, self._version], [self._card, self._trials, self._whole], js=LOOK, **QUIET
        )

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [
            self._head, self._title, self._train, self._version, self._reason, self._sure, self._promote,
            self._versions, self._history, self._card, self._trials, self._accordion, self._whole,
        ]  # fmt: skip

    def gather(self, snapshot: Snapshot, view: View, before: object) -> tuple[ModelVersion, ...]:
        """Ask for the versions of the chosen venue and interval."""
        return registry.of_series(self.shared.reader.models(limit=_VERSIONS).models, snapshot)

    def draw(self, session: Session, view: View) -> Updates:
        """Return the registry."""
        models = self._models(session)
        picked = _picked(models, session.picked)
        return {
            self._versions: registry.versions(models, session.snapshot, view.language),
            self._history: history(models, session.snapshot, view.language),
            self._card: registry.card(picked, session.snapshot, view.language),
            self._trials: registry.trials(self._tried(picked), view.language),
            self._whole: self._text(picked),
            self._version: gr.update(
                choices=[model.id for model in models],
                value=picked.id if picked else None,
                label=words(view.language)["models_pick"],
            ),
        }

    def label(self, view: View) -> Updates:
        """Return the words on the controls."""
        say = words(view.language)
        return {
            self._head: registry.head(view.language),
            self._title: f"<h2>{say['models_work']}</h2>",
            self._train: gr.update(value=say["models_train"]),
            self._reason: gr.update(label=say["models_reason"]),
            self._sure: gr.update(label=say["models_sure"]),
            self._promote: gr.update(value=say["models_promote"]),
            self._accordion: gr.update(label=say["models_whole"]),
        }

    def show(self, *given: Any) -> tuple[str, str, str]:
        """Open the card of another version."""
        *page, version = given
        view, _, _, session = read(*page)
        session.picked = version
        picked = _picked(self._models(session), version)
        card = registry.card(picked, session.snapshot, view.language)
        return card, registry.trials(self._tried(picked), view.language), self._text(picked)

    def _tried(self, picked: ModelVersion | None) -> list[Trial]:
        """Return what the version's training tried; a service that does not tell leaves it empty."""
        if picked is None:
            return []
        try:
            return self.shared.reader.trials(picked.id).trials
        except (ApiError, ServiceAway):
            return []

    def _text(self, picked: ModelVersion | None) -> str:
        """Return the version's card as the service writes it; a service that gives none leaves it empty."""
        if picked is None:
            return ""
        try:
            return embedded(self.shared.reader.model_card(picked.id))
        except (ApiError, ServiceAway):
            return ""

    def promote(self, *given: Any) -> tuple[str, bool]:
        """Make the chosen version the champion, where the reader says why and is sure; then untick the box."""
        *page, token, version, reason, sure = given
        view, *_ = read(*page)
        say = words(view.language)
        if not (version and reason and reason.strip() and sure):
            return runs.line(say["models_not_sure"], "bad"), bool(sure)
        with self.shared.connect(token or None) as client:
            try:
                client.promote_model(version, reason.strip())
            except (ApiError, ServiceAway) as error:
                given_token = bool(token) or self.shared.reader.has_token
                return runs.refusal(error, view.language, token_given=given_token), False
        return runs.line(escape(say["models_promoted"].format(id=version)), "good"), False

    def _models(self, session: Session) -> tuple[ModelVersion, ...]:
        found = session.found.get(self.name)
        return found if isinstance(found, tuple) else ()


def _picked(models: tuple[ModelVersion, ...], wanted: str | None) -> ModelVersion | None:
    """Return the wanted version, else the champion, else the newest."""
    known = next((model for model in models if model.id == wanted), None)
    return known or next((model for model in models if model.champion), models[0] if models else None)
