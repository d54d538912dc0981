"""What the service and the jobs tell in English sentences, in the reader's language."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ui.format import THIN, Language
from ui.words.told import PT

_PATTERNS: Final = tuple((re.compile(pattern), sentence.replace(" %", f"{THIN}%")) for pattern, sentence in PT)
_DECIMAL: Final = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?")
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d) UTC")


def told(text: str, language: Language) -> str:
    """Return a sentence of the service in the reader's language; parts that are not known stay as they are."""
    if language == "en":
        return text
    return "; ".join(", ".join(map(_portuguese, _clauses(part))) for part in text.split("; "))


def _clauses(part: str) -> list[str]:
    """Return a part as it is where it is known as a whole, else what its commas part."""
    return [part] if _portuguese(part) != part else part.split(", ")


@lru_cache(maxsize=1024)
def _portuguese(text: str) -> str:
    if _DECIMAL.fullmatch(text):
        return text.replace(".", ",")
    if time := _TIME.fullmatch(text):
        year, month, day, hour = time.groups()
        return f"{day}/{month}/{year} {hour}{THIN}UTC"
    for pattern, sentence in _PATTERNS:
        if caught := pattern.fullmatch(text):
            return sentence.format_map({name: _portuguese(value) for name, value in caught.groupdict().items()})
    return text
