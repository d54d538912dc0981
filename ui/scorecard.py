"""The Track record's panels: the verdict over a window, eight numbers, how calibrated they are, month by month."""

from __future__ import annotations

from datetime import datetime
from html import escape
from urllib.parse import urlencode

from ui import plots
from ui.format import NOTHING, Language, date_text, month_text, number, price, skill, skill_decimals, when
from ui.markup import icon, panel, quiet, rows_table
from ui.plots import share
from ui.scoring import Estimate, Scorecard, Scores
from ui.snapshot import Snapshot
from ui.trading import Traded, break_even_text
from ui.verdict import axis_limit, judgement, skill_strip
from ui.words import words

_FILES = ("csv", "parquet")


def files(series: str | None, horizon: int, language: Language) -> str:
    """Return the links that download the whole ledger of a series and horizon."""
    if series is None:
        return ""
    query = urlencode({"series": series, "horizon": horizon})
    say = words(language)
    links = "".join(
        f'<a class="button" href="files/ledger.{kind}?{escape(query)}" download '
        f'aria-label="{escape(say["record_download"].format(kind=kind.upper()))}">{_NAMES[kind]}</a>'
        for kind in _FILES
    )
    return f'<p class="files">{links}</p>'


_NAMES = {"csv": "CSV", "parquet": "Parquet"}


def verdict(card: Scorecard | None, snapshot: Snapshot | None, language: Language) -> str:
    """Return the card with the verdict over the chosen window."""
    say = words(language)
    total = card.total if card else None
    scope = say["record_scope"].format(series=snapshot.series, horizon=_ahead(snapshot, language)) if snapshot else ""
    judged = total.skill if total and card and not card.baseline else None
    return (
        f'<section class="card verdict" id="content" tabindex="-1"><div class="said"><p class="scope">{escape(scope)}'
        f"</p><h1>{escape(_headline(card, language))}</h1>"
        f'<p class="evidence">{_evidence(card, snapshot, language)}</p>'
        f'<p class="note">{escape(_due(card, language))}</p></div>'
        f'<div class="strip">{skill_strip(judged, language)}</div></section>'
    )


def _ahead(snapshot: Snapshot, language: Language) -> str:
    say = words(language)
    return say["scope_next"] if snapshot.horizon == 1 else say["scope_ahead"].format(n=snapshot.horizon)


def _headline(card: Scorecard | None, language: Language) -> str:
    say = words(language)
    if card is None:
        return say["loading"]
    if card.total is None:
        return say["record_nothing"]
    return say["baseline_verdict"] if card.baseline else judgement(card.total.skill, language)


def _evidence(card: Scorecard | None, snapshot: Snapshot | None, language: Language) -> str:
    say = words(language)
    if card is None or snapshot is None:
        return escape(say["record_reading"])
    if card.total is None or card.first is None:
        return escape(say["record_nothing_line"])
    if card.baseline:
        return escape(say["record_baseline_line"])
    scored, since = card.total.skill, date_text(card.first.astimezone(snapshot.zone), language)
    count = number(scored.scored, 0, language)
    if scored.skill is None or scored.lower is None or scored.upper is None:
        least = number(scored.minimum, 0, language)
        return escape(say["evidence_early"]).format(n=f"<b>{count}</b>", min=f"<b>{least}</b>")
    places = skill_decimals(scored.skill, scored.lower, scored.upper)
    low, high = (skill(value, language, decimals=places) for value in (scored.lower, scored.upper))
    return escape(say["record_evidence"]).format(
        x=f"<b>{skill(scored.skill, language, decimals=places)}</b>",
        n=count,
        since=since,
        ci=f"<b>{say['ci'].format(lo=low, hi=high)}</b>",
    )


def _due(card: Scorecard | None, language: Language) -> str:
    if card is None or not card.written:
        return ""
    figures = {"due": card.written + card.missing, "written": card.written, "missing": card.missing}
    return words(language)["record_due"].format_map({k: number(v, 0, language) for k, v in figures.items()})


def numbers(card: Scorecard | None, snapshot: Snapshot | None, language: Language, trade: Traded | None = None) -> str:
    """Return the seven scores in one row; what is not known is an en dash."""
    say, total = words(language), card.total if card else None
    places = snapshot.decimals if snapshot else 2
    quote = snapshot.parsed.symbol.quote if snapshot and snapshot.parsed else ""
    covered = total.covered if total else {}
    cells = [
        _estimate(say["record_covered"].format(p=80), covered.get(80), say["record_points"], language),
        _estimate(say["record_covered"].format(p=95), covered.get(95), say["record_points"], language),
        _estimate(say["record_direction"], total.direction if total else None, say["record_coin"], language),
        _cell("AUC", total.auc if total else None, 3, say["record_auc_coin"], language),
        _cell("Brier", total.brier if total else None, 4, say["record_brier_coin"], language),
        _mae(say["record_mae"].format(quote=quote).rstrip(", "), total, places, language),
        _break_even(trade, language),
    ]
    return f'<section class="cards scores" aria-label="{escape(say["tab_record"])}">{"".join(cells)}</section>'


def _card(name: str, value: str, note: str) -> str:
    kind = " nothing" if value == NOTHING else ""
    return (
        f'<div class="cell{kind}"><p class="label">{escape(name)}</p><div class="value">{value}</div>'
        f'<div class="sub">{escape(note)}</div></div>'
    )


def _estimate(name: str, given: Estimate | None, note: str, language: Language) -> str:
    if given is None:
        return _card(name, NOTHING, "")
    return _card(name, share(given.value, language), note.format(half=number(100 * given.half, 1, language)))


def _cell(name: str, value: float | None, places: int, note: str, language: Language) -> str:
    return _card(name, NOTHING if value is None else number(value, places, language), "" if value is None else note)


def _mae(name: str, total: Scores | None, places: int, language: Language) -> str:
    if total is None:
        return _card(name, NOTHING, "")
    beside = words(language)["record_mae_naive"].format(x=price(total.naive_mae, language, places))
    return _card(name, price(total.mae, language, places), beside)


def _break_even(trade: Traded | None, language: Language) -> str:
    say, fee = words(language), break_even_text(trade, language)
    return _card(say["record_break_even"], fee or NOTHING, say["record_usual_fee"] if fee else "")


def reliability(card: Scorecard | None, language: Language) -> str:
    """Return the panel that says whether 40 % means 40 %."""
    say = words(language)
    drawn = plots.reliability(card.bins, language) if card and card.bins else quiet(say["record_no_chances"])
    return panel(say["record_reliability"], drawn)


def promise(card: Scorecard | None, language: Language) -> str:
    """Return the panel that says whether the intervals keep their promise."""
    say = words(language)
    covered = card.total.covered if card and card.total else {}
    drawn = (
        plots.promise(covered, language, "base" if card and card.baseline else "said")
        if covered
        else quiet(say["record_nothing"])
    )
    return panel(say["record_promise"], drawn)


def daily(card: Scorecard | None, language: Language) -> str:
    """Return the panel of errors over time."""
    say = words(language)
    if card is None or not card.days or card.baseline:
        return panel(say["record_daily"], quiet(say["record_no_model" if card and card.baseline else "record_no_days"]))
    return panel(say["record_daily"], plots.daily(card.days, language))


def months(card: Scorecard | None, language: Language) -> str:
    """Return the table of months, the newest first."""
    say = words(language)
    if card is None or not card.months:
        return panel(say["record_months"], quiet(say["record_nothing"]))
    names = ("month", "count", "skill", "against", "in_80", "in_95", "direction_short")
    heads = [say[f"record_{name}"] for name in names] + ["AUC", "Brier"]
    ends = [edge for _, one in card.months for edge in (one.skill.lower, one.skill.upper) if edge is not None]
    limit = axis_limit(*ends) if ends else 0.01
    rows = [
        _month(month_text(month, language), one, None if card.baseline else limit, language)
        for month, one in reversed(card.months)
    ]
    return panel(say["record_months"], f'<div class="months">{rows_table(say["record_months"], heads, rows)}</div>')


def _month(name: str, one: Scores, limit: float | None, language: Language) -> list[str]:
    scored, drawn, written = one.skill, "", NOTHING
    if limit and scored.skill is not None and scored.lower is not None and scored.upper is not None:
        low, high = (skill(value, language) for value in (scored.lower, scored.upper))
        written = skill(scored.skill, language)
        alt = words(language)["strip_alt"].format(x=written, lo=low, hi=high)
        drawn = plots.whisker(scored.skill, scored.lower, scored.upper, limit, alt)
    covered = [one.covered.get(percent) for percent in (80, 95)]
    return [
        escape(name),
        number(scored.scored, 0, language),
        written,
        drawn,
        *(share(given.value, language) if given else NOTHING for given in covered),
        share(one.direction.value, language) if one.direction else NOTHING,
        NOTHING if one.auc is None else number(one.auc, 3, language),
        NOTHING if one.brier is None else number(one.brier, 4, language),
    ]


def ledger(card: Scorecard | None, snapshot: Snapshot | None, language: Language) -> str:
    """Return what stands for the ledger: whether its chain of hashes holds, and how much it holds."""
    say = words(language)
    if snapshot is None or snapshot.status is None:
        return panel(say["record_ledger"], quiet(say["ledger_unchecked"]))
    status = snapshot.status
    wall = snapshot.taken_at.astimezone(snapshot.zone)  # checked in wall time, whatever the venue's clock says
    at = when(status.ledger_checked_at, wall, language) if status.ledger_checked_at else ""
    if status.ledger_intact is None:
        line = f'<p class="chain">{icon("chain")}<b>{escape(say["ledger_unchecked"])}</b></p>'
    elif status.ledger_intact:
        checked = escape(say["record_checked"].format(time=at))
        line = f'<p class="chain good">{icon("chain")}<span><b>{escape(say["record_intact"])}</b>{checked}</span></p>'
    else:
        broken = escape(say["ledger_broken"].format(n=status.ledger_broken_at or NOTHING))
        line = f'<p class="chain bad">{icon("broken")}<b>{broken}</b></p>'

    def moment(given: datetime | None) -> str:
        return when(given, snapshot.now, language) if given else NOTHING

    facts = [
        ("record_all_rows", number(status.ledger_rows, 0, language)),
        ("record_first", moment(card.first if card else None)),
        ("record_newest", moment(card.newest if card else None)),
        ("record_missing", number(card.missing, 0, language) if card else NOTHING),
    ]
    rows = "".join(f"<dt>{escape(say[key])}</dt><dd>{escape(value)}</dd>" for key, value in facts)
    return panel(say["record_ledger"], f'{line}<dl class="record">{rows}</dl>{quiet(say["ledger_why"])}')
