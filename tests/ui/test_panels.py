"""The panels say what the service said, in every state, and escape what comes from outside."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

import pytest

from candlecast.api import Point, SeriesList, Skill
from tests.making import a_run
from tests.ui.making import (
    CUTOFF,
    MODEL,
    NOT_DISTINGUISHABLE,
    NOW,
    SERIES,
    STEP,
    TOO_EARLY,
    abstained,
    baseline,
    challenger,
    forecast,
    skill,
    snapshot,
    state,
    status,
)
from ui import panels, runs
from ui.format import EN_DASH, MINUS, NOTHING, THIN, Language
from ui.markup import plain, strong
from ui.snapshot import Snapshot
from ui.verdict import axis_limit, headline_text, plain_card, verdict_card
from ui.words import EN, words

EVIL = '<script>alert("x")</script>'


class _Balance(HTMLParser):
    """Counts what is open, so that a panel cannot swallow the next one."""

    VOID = frozenset({"br", "input", "line", "rect", "circle", "path", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.replace(THIN, " "))).strip()


def everything(shown: Snapshot, language: Language = "en") -> list[str]:
    return [
        panels.header(language),
        panels.banners(shown, language),
        panels.chips(shown, language),
        verdict_card(shown, language),
        panels.cards(shown, language),
        panels.next_candle(shown, language),
        panels.written_down(shown, language),
        panels.foot(language, "http://service", may_ask=False),
    ]


def verdict(scores: Skill | None, language: Language = "en") -> str:
    return headline_text(snapshot(forecast(live_skill=scores)), language)


STATES = [
    snapshot(),
    snapshot(forecast(5), forecast(1)),
    snapshot(forecast(live_skill=TOO_EARLY, point=Point(close=112_000.0))),
    snapshot(baseline(), baseline(5)),
    *(
        snapshot(abstained(reason))
        for reason in ("no_candles", "not_enough_candles", "gap_in_window", "stale", "too_late", "starting", "new one")
    ),
    snapshot(abstained("no_candles"), candles=None, ledger=(), status=None),
    snapshot(forecast(stale=True), status=status(database="away", ledger_intact=None)),
]


@pytest.mark.parametrize("shown", STATES)
@pytest.mark.parametrize("language", ["en", "pt"])
def test_every_state_is_whole_html_with_one_h1(shown: Snapshot, language: Language) -> None:
    drawn = everything(shown, language)
    for panel in drawn:
        balance = _Balance()
        balance.feed(panel)
        assert balance.open == []
    assert "".join(drawn).count("<h1>") == 1


@pytest.mark.parametrize("shown", STATES)
def test_no_sentence_keeps_an_unfilled_gap(shown: Snapshot) -> None:
    seen = text("".join(re.sub(r'data-text="[^"]*"', "", panel) for panel in everything(shown)))
    assert not re.search(r"\{\w+\}", seen)
    assert "None" not in seen.replace("None is left out", "")


def test_verdict_repeats_the_service_word_for_word() -> None:
    assert verdict(skill(0.014, 0.009, 0.019, "better")) == f"1.4{THIN}% better than “no change”"
    assert verdict(skill(-0.0112, -0.0181, -0.0042, "worse")) == f"1.1{THIN}% worse than “no change”"
    assert verdict(NOT_DISTINGUISHABLE) == "Not distinguishable from “no change”"
    assert verdict(TOO_EARLY) == "Too early to judge"
    assert verdict(None) == "Too early to judge"
    assert verdict(NOT_DISTINGUISHABLE, "pt") == "Não se distingue de “sem mudança”"


def test_verdict_is_not_judged_again_here() -> None:
    # A service that calls a positive figure worse is believed: there is one judge.
    assert "worse" in verdict(skill(0.02, 0.01, 0.03, "worse"))


def test_evidence_has_count_and_interval_with_signs() -> None:
    card = text(verdict_card(snapshot(), "en"))
    assert f"+0.07 % over the last 2,000 forecasts, 95 % CI {MINUS}0.02 % to +0.19 %" in card
    assert f"+0,07 % nas últimas 2.000 previsões, IC 95 % {MINUS}0,02 % a +0,19 %" in text(
        verdict_card(snapshot(), "pt")
    )


def test_too_early_counts_instead_of_showing_figures() -> None:
    card = text(verdict_card(snapshot(forecast(live_skill=TOO_EARLY)), "en"))
    assert "37 of 200 forecasts scored" in card
    assert "No skill figure yet" in card


@pytest.mark.parametrize(
    ("widest", "limit"), [(0.0019, 0.002), (0.019, 0.02), (0.0007, 0.0008), (0.05, 0.06), (0.1, 0.1), (0.0, 0.001)]
)
def test_axis_is_symmetric_and_ends_at_a_round_number(widest: float, limit: float) -> None:
    assert axis_limit(-widest, widest / 2) == pytest.approx(limit)


def test_strip_puts_zero_in_the_middle_and_better_to_the_right() -> None:
    card = verdict_card(snapshot(forecast(live_skill=skill(0.01, 0.005, 0.02, "better"))), "en")
    assert '<circle cx="74.25%"' in card
    assert 'x1="50%" x2="50%"' in card


def test_simulated_and_baseline_have_banners_that_repeat_in_the_title() -> None:
    simulated = snapshot(forecast(simulated=True))
    assert 'role="status"' in panels.banners(simulated, "en")
    assert text(panels.banners(simulated, "pt")).startswith("SIMULADO")
    assert panels.page_title(simulated, "en").startswith("SIMULATED")
    both = snapshot(baseline(simulated=True))
    assert panels.page_title(both, "en").startswith("SIMULATED · BASELINE")
    assert panels.banners(both, "en").count('class="banner') == 2


def test_real_model_has_no_banner() -> None:
    assert panels.banners(snapshot(), "en") == ""
    assert panels.page_title(snapshot(), "en") == f"{SERIES} · candlecast"


def test_baseline_answers_no_change_and_says_why_the_challenger_was_refused() -> None:
    refused = challenger(
        {
            "promote": False,
            "reason": "chance explains it",
            "numbers": {"skill": 0.0001, "skill_lower": -0.0008, "skill_upper": 0.001},
        }
    )
    card = text(verdict_card(snapshot(baseline(), challenger=refused), "en"))
    assert "For now, the answer is “no change”" in card
    assert f"The latest challenger was refused: +0.01 % , 95 % CI {MINUS}0.08 % to +0.10 % ." in card
    assert "chance explains it" in card


def test_baseline_without_a_trained_model_or_with_a_fresh_one_says_that_instead() -> None:
    assert "No model has been trained yet" in verdict_card(snapshot(baseline()), "en")
    promoted = challenger({"promote": True, "reason": "earned", "numbers": {}})
    assert "just been promoted" in verdict_card(snapshot(baseline(), challenger=promoted), "en")


def test_baseline_is_not_drawn_as_a_model_s_forecast() -> None:
    cards = panels.cards(snapshot(baseline()), "en")
    assert "said" not in cards
    assert "naive-v1" in cards
    assert "the baseline has no opinion" in cards


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("no_candles", f"No candles of {SERIES} yet"),
        ("not_enough_candles", "No forecast: there are not enough candles yet"),
        ("gap_in_window", "No forecast: candles are missing in the window the model reads"),
        ("stale", f"No forecast: the newest candle is 4{THIN}min 12{THIN}s old"),
        ("too_late", "No forecast: the candle it is about has closed already"),
        ("starting", "Starting"),
        ("something new", "No forecast"),
    ],
)
def test_abstention_names_its_reason(reason: str, said: str) -> None:
    assert headline_text(snapshot(abstained(reason)), "en") == said


def test_abstention_leaves_values_empty_and_keeps_the_last_close() -> None:
    shown = snapshot(abstained("gap_in_window"))
    cards = text(panels.cards(shown, "en"))
    assert "112,900.43" in cards
    assert f"Next close, forecast {NOTHING} 80 % and 95 % interval {NOTHING} Chance of a rise {NOTHING}" in cards
    assert panels.written_down(shown, "en") == ""
    assert "The future stays blank" in panels.next_candle(shown, "en")
    assert "because gap_in_window" in verdict_card(shown, "en")
    assert "Live skill so far: +0.07 %" in text(verdict_card(shown, "en"))


def test_cards_have_the_forecast_with_delta_intervals_and_chance() -> None:
    cards = text(panels.cards(snapshot(), "en"))
    assert f"112,892.20 {MINUS}8.23 ({MINUS}0.007 %)" in cards
    assert f"112,492 {EN_DASH} 113,293" in cards
    assert "40.0 %" in cards
    assert "Known at 16:15 UTC in 10 min 48 s cutoff 16:00, horizon 1" in cards
    assert MODEL in cards


def test_countdown_carries_its_target_for_the_browser() -> None:
    cards = panels.cards(snapshot(), "en")
    target = int((CUTOFF + STEP).timestamp() * 1000)
    assert f'data-tick="down" data-at="{target}" data-text="in {{age}}"' in cards


def test_passed_target_says_any_moment() -> None:
    late = snapshot(now=CUTOFF + STEP)
    assert "any moment now" in text(panels.cards(late, "en"))


def test_quantities_that_were_not_forecast_are_not_shown() -> None:
    whole = text(panels.next_candle(snapshot(), "en"))
    assert "Open 112,900.43 High 113,198.54 Low 112,574.21 Close 112,892.20 Range 624.33" in whole
    only = text(panels.next_candle(snapshot(forecast(point=Point(close=112_892.2))), "en"))
    assert "Close 112,892.20" in only
    assert not [name for name in ("Open", "High", "Low", "Range") if name in only]


@pytest.mark.parametrize(
    ("intact", "tone", "words_"),
    [(True, "good", "Ledger intact"), (None, "plain", "not checked yet"), (False, "bad", "failed at row x#7")],
)
def test_ledger_chip_tells_the_state_of_the_chain(intact: bool | None, tone: str, words_: str) -> None:
    chips = panels.chips(snapshot(status=status(ledger_intact=intact, ledger_broken_at="x#7")), "en")
    assert f'<span class="chip {tone}" title' in chips
    assert words_ in text(chips)


def test_freshness_follows_the_service() -> None:
    assert "Fresh" in panels.chips(snapshot(), "en")
    old = SeriesList(series=[state(fresh=False)], horizons=[1])
    assert "Stale" in panels.chips(snapshot(listing=old), "en")
    assert "Stale" in panels.chips(snapshot(forecast(stale=True)), "en")


def test_database_away_is_said_with_the_time_of_the_forecast() -> None:
    shown = snapshot(forecast(stale=True), status=status(database="away"))
    assert "The database cannot be reached. This forecast was written down at 16:00 UTC." in text(
        verdict_card(shown, "en")
    )


def test_everything_from_outside_is_escaped() -> None:
    evil = forecast(model_version=EVIL, reason=EVIL, detail=EVIL, series=EVIL)
    silent = abstained(EVIL, model_version=EVIL, detail=EVIL)
    refused = challenger({"promote": False, "reason": EVIL, "numbers": {}})
    broken = status(ledger_intact=False, ledger_broken_at=EVIL)
    drawn = [
        *everything(snapshot(evil, status=broken)),
        *everything(snapshot(silent)),
        *everything(snapshot(baseline(), challenger=refused)),
        panels.notice(EVIL),
        plain_card(EVIL, EVIL, "en"),
        runs.progress(a_run("running", done=3, message=EVIL, error=EVIL, job=EVIL), 1, "en"),
    ]
    assert "<script" not in "".join(drawn)
    assert "&lt;script&gt;" in "".join(drawn)


def test_announcement_is_one_sentence_about_the_new_forecast() -> None:
    said = panels.announcement(snapshot(), "en").replace(THIN, " ")
    assert said == "New forecast for 16:15 UTC: 112,892.20, 80 % between 112,492.20 and 113,292.20."
    assert panels.announcement(snapshot(abstained("stale")), "en") == ""


def test_first_paint_before_any_answer_has_the_same_places() -> None:
    cards = panels.cards(None, "en")
    assert cards.count('class="label"') == 6
    assert NOTHING in cards
    assert panels.chips(None, "en") == panels.banners(None, "en") == ""


def test_run_says_what_it_does_how_far_it_is_and_how_long_it_takes() -> None:
    shown = runs.progress(
        a_run(
            "running",
            done=3,
            target=15,
            message="fetching",
            elapsed_seconds=12.0,
            rate=0.3,
            eta_seconds=48.0,
            rows=1200,
        ),
        12,
        "en",
    )
    said = text(shown)
    assert "Ingestion · running" in said
    for part in ("fetching", "3 of 15", "1,200 rows written", "12 s so far", "0.3 steps a second", "about 48 s left"):
        assert part in said
    assert 'max="15" value="3"' in shown


def test_run_that_does_not_know_its_end_shows_no_invented_share() -> None:
    assert "max=" not in runs.progress(a_run("running", done=3), 1, "en")


def test_failed_run_gives_the_error_and_the_way_out() -> None:
    said = text(runs.progress(a_run("failed", done=3, error="no answer", error_code="venue_unavailable"), 3, "en"))
    assert "failed" in said
    assert "no answer" in said
    assert EN["remedy_venue_unavailable"] in said


def test_waiting_run_asks_after_the_dispatcher_only_after_a_while() -> None:
    assert "dispatcher" not in runs.progress(a_run("queued"), 5, "en")
    assert "dispatcher" in runs.progress(a_run("queued"), 30, "en")


def test_parts_of_a_sentence_are_escaped() -> None:
    assert strong("a < {x}", x=EVIL) == f"a &lt; <b>{escape(EVIL)}</b>"


def test_markup_can_be_taken_away() -> None:
    assert plain("<b>a</b> b") == "a b"
    said = panels.foot("en", "http://<service>", may_ask=False)
    assert words("en")["foot"] in said
    assert "http://&lt;service&gt;" in said
    assert "only reads" in said
    assert "only reads" not in panels.foot("en", "http://service", may_ask=True)
    assert NOW > CUTOFF
