"""Both languages say everything, with the same gaps to fill."""

from __future__ import annotations

import ast
import string
from pathlib import Path
from typing import get_args

import pytest

import ui
from candlecast.api import RunState
from ui.words import EN, HTML_LANG, LANGUAGES, PT, spoken, words

FOLDER = Path(ui.__file__).parent


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_keys() -> None:
    assert set(EN) == set(PT)


@pytest.mark.parametrize("key", sorted(EN))
def test_both_languages_fill_the_same_gaps(key: str) -> None:
    assert gaps(EN[key]) == gaps(PT[key])


def test_sentences_are_translated() -> None:
    same = {key for key in EN if EN[key] == PT[key] and " " in EN[key]}
    assert same == {"volume_axis", "table_band", "data_row_band"}  # no words, or the same in both


def test_per_cent_sign_does_not_break_from_its_number() -> None:
    for language in LANGUAGES:
        assert not [key for key, text in words(language).items() if " %" in text]


def test_skill_is_never_called_profit_in_portuguese() -> None:
    assert not [key for key, text in PT.items() if "ganho" in text.lower()]


def asked_for() -> tuple[set[str], set[str]]:
    """Return the texts in the screen's code, and the beginnings of those that it puts together."""
    trees = [ast.parse(path.read_text("utf-8")) for path in FOLDER.rglob("*.py") if path.parent.name != "words"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    firsts = [node.values[0] for node in nodes if isinstance(node, ast.JoinedStr) and node.values]
    return texts, {one.value for one in firsts if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_every_word_that_the_code_asks_for_exists_and_none_is_left_over() -> None:
    texts, beginnings = asked_for()
    joined = {beginning + text for beginning in beginnings if beginning.endswith("_") for text in texts}
    families = ("abstained_", "remedy_", "state_", "job_", "forecaster_")  # the service's own words follow
    left_over = {key for key in EN if key not in texts | joined and not key.startswith(families)}
    assert left_over <= {"simulated_line", "baseline_line"}  # asked for by the banner's name


def test_every_state_of_a_run_has_a_word() -> None:
    assert {f"state_{state}" for state in get_args(RunState)} <= set(EN)


@pytest.mark.parametrize(
    ("asked", "language"), [("pt-BR", "pt"), ("pt", "pt"), ("en-GB", "en"), ("de", "en"), (None, "en"), ("", "en")]
)
def test_language_of_a_browser_is_understood(asked: str | None, language: str) -> None:
    assert spoken(asked) == language
    assert spoken(asked) in HTML_LANG
