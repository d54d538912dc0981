"""Every sentence of the screen, in English and Brazilian Portuguese, in one place; one module per tab."""

from __future__ import annotations

from typing import Final

from ui.format import THIN, Language
from ui.words import data, drift, forecast, frame, models, own, reading, record

LANGUAGES: Final[tuple[Language, ...]] = ("en", "pt")
HTML_LANG: Final[dict[Language, str]] = {"en": "en", "pt": "pt-BR"}

_PARTS: Final = (frame, forecast, record, data, models, drift, own, reading)

EN: Final[dict[str, str]] = {key: text for part in _PARTS for key, text in part.EN.items()}
PT: Final[dict[str, str]] = {key: text for part in _PARTS for key, text in part.PT.items()}

_ALL: Final[dict[Language, dict[str, str]]] = {
    "en": {key: text.replace(" %", f"{THIN}%") for key, text in EN.items()},
    "pt": {key: text.replace(" %", f"{THIN}%") for key, text in PT.items()},
}


def words(language: Language) -> dict[str, str]:
    """Return the sentences of a language."""
    return _ALL[language]


def spoken(language: str | None) -> Language:
    """Return the language for a browser's or a switch's word; English for what is not known."""
    return "pt" if (language or "").lower().startswith("pt") else "en"
