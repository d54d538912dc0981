"""Every tab in every look: both languages, light and dark, a desk and a phone. One page per look walks the tabs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.page import PICTURES, Screen, open_page
from tests.shared import requires_shared
from tests.waiting import eventually
from ui.format import Language
from ui.gate import POLICY
from ui.page import TABS
from ui.words import HTML_LANG, LANGUAGES, words

pytestmark = requires_shared

_RAW: Final = re.compile(r"\{\w*\}|\bundefined\b|\bNaN\b|\bnan\b|\bNone\b(?! is)|\[object |<\w+>|�")
"""What a forgotten value or an escaped tag looks like."""
_ENGLISH: Final = "#page-text, #models-whole-card, #reading-service, #models-trials, #drift-page, code, pre"
"""Where the documentation, the model's card and the service's own words stand, whatever the reader's language."""
_LONG_ENOUGH: Final = 14  # characters: shorter words are the same in both languages now and then


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    language: Language
    scheme: Literal["light", "dark"]
    width: int

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}-{self.language}"


WIDTHS: Final = (1440, 390)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
LOOKS: Final = [Look(*parts) for parts in product(LANGUAGES, SCHEMES, WIDTHS)]
EVERY_TIME: Final = (Look("en", "light", 1440), Look("pt", "dark", 390))
"""Between them each language, each theme and each width."""


@pytest.mark.parametrize(
    "look", [pytest.param(one, id=str(one), marks=() if one in EVERY_TIME else pytest.mark.slow) for one in LOOKS]
)
def test_every_tab_is_whole_calm_and_free_of_barriers(screen_url: str, look: Look) -> None:
    with open_page(
        screen_url,
        PICTURES,
        width=look.width,
        height=1000 if look.width == WIDTHS[0] else 844,
        scheme=look.scheme,
        locale=HTML_LANG[look.language],
    ) as screen:
        screen.wait_for_chart()
        assert screen.policy == POLICY
        faults = [f"{tab}: {fault}" for tab in TABS for fault in faults_of(screen, tab, look)]
        assert not faults, "\n".join(faults)
        assert screen.complaints == []


def faults_of(screen: Screen, tab: str, look: Look) -> list[str]:
    """Turn to a tab, keep its picture, and return what is wrong with it."""
    turn_to(screen, tab, look.language)
    screen.picture(f"{tab}-{look}", whole=True)
    sideways = ["it scrolls sideways"] if screen.scrolls_sideways() else []
    dark = screen.page.evaluate("document.body.classList.contains('dark')")
    wrong_theme = [] if dark == (look.scheme == "dark") else ["it has the other theme"]
    return sideways + wrong_theme + said_wrongly(visible_text(screen), look.language) + barriers(screen)


def turn_to(screen: Screen, tab: str, language: Language) -> None:
    """Open a tab as a reader does, and wait until it is drawn."""
    page = screen.page
    page.locator(f"#tabs input[value={tab}]").check()
    eventually(lambda: page.locator("#pulse [data-now]").get_attribute("data-tab") == tab)
    eventually(lambda: page.locator("html").get_attribute("lang") == HTML_LANG[language])
    eventually(lambda: page.locator("h1:visible").count() == 1)


def visible_text(screen: Screen) -> str:
    """Return what a reader sees, without what is English for everybody."""
    script = """(english) => {
        const unread = [...document.querySelectorAll(english)];
        unread.forEach((one) => { one.style.display = "none"; });
        const text = document.getElementById("page").innerText;
        unread.forEach((one) => { one.style.display = ""; });
        return text;
    }"""
    return str(screen.page.evaluate(script, _ENGLISH))


def said_wrongly(text: str, language: Language) -> list[str]:
    """Return raw values, and sentences of the other language, in a text of the page."""
    other = next(one for one in LANGUAGES if one != language)
    ours = {sentence.casefold() for sentence in words(language).values()}
    foreign = [
        sentence
        for sentence in words(other).values()
        if len(sentence) >= _LONG_ENOUGH and sentence.casefold() not in ours and sentence.casefold() in text.casefold()
    ]
    raw = [f"raw text {found!r}" for found in _RAW.findall(text)]
    return raw + [f"not in the reader's language: {sentence!r}" for sentence in foreign]


def barriers(screen: Screen) -> list[str]:
    """Return what axe calls serious or critical."""
    found: list[dict[str, Any]] = Axe().run(screen.page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in bad]


def test_raw_values_and_sentences_of_the_other_language_are_found() -> None:
    assert said_wrongly("Last close {age} ago, NaN", "en") == ["raw text '{age}'", "raw text 'NaN'"]
    assert said_wrongly(words("en")["foot"], "en") == []
    assert said_wrongly(f"1 {words('en')['foot']} 2", "pt") == [
        f"not in the reader's language: {words('en')['foot']!r}"
    ]
