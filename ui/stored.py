"""The Data tab's panels: which candles there are, which are missing, what fetched them, and the newest rows."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import groupby
from urllib.parse import urlencode

from candlecast.api import Coverage, DayCoverage, LedgerRow, Run, SeriesState
from candlecast.candles import Interval, from_ms
from ui.format import NOTHING, THIN, Language, bounds, date_text, delta, number, price, span, when
from ui.markup import heading, icon, panel, quiet, rows_table, ticking
from ui.runs import log_tail
from ui.snapshot import Snapshot
from ui.told import told
from ui.words import words

_NEWEST = 12
_COLUMNS = ("name", "source", "state", "newest", "candles", "missing", "lacking", "first")


def head(language: Language) -> str:
    """Return the tab's heading."""
    say = words(language)
    return heading(say["data_title"], say["data_line"])


def series_panel(snapshot: Snapshot | None, coverages: Mapping[str, Coverage], language: Language) -> str:
    """Return every series with its source, how far it reaches, what is missing and how fresh it is."""
    say = words(language)
    if snapshot is None or not snapshot.listing.series:
        return panel(say["data_series"], quiet(say["data_no_series"]))
    heads = [
        say[f"data_{name}"] for name in ("name", "source", "state", "newest", "candles", "missing", "lacking", "first")
    ]
    rows = [_series(state, coverages.get(state.series), snapshot, language) for state in snapshot.listing.series]
    return panel(say["data_series"], rows_table(say["data_series"], heads, rows, texts=3))


def _series(state: SeriesState, coverage: Coverage | None, snapshot: Snapshot, language: Language) -> list[str]:
    say = words(language)
    first = when(state.first_open_time, snapshot.now, language) if state.first_open_time else NOTHING
    name = f"<b>{escape(state.series)}</b>" if state.series == snapshot.series else escape(state.series)
    return [
        name,
        escape(say["data_random_market"] if state.simulated else state.venue),
        _state(state, language),
        _age(state, snapshot, language),
        number(state.candles, 0, language),
        number(coverage.missing, 0, language) if coverage else NOTHING,
        number(coverage.confirmed, 0, language) if coverage else NOTHING,
        escape(first),
    ]


def _state(state: SeriesState, language: Language) -> str:
    say = words(language)
    if state.last_close_time is None:
        return f'<span class="mark warn">{icon("stale")}{escape(say["data_empty"])}</span>'
    if not state.fresh:
        return f'<span class="mark warn">{icon("stale")}{escape(say["stale"])}</span>'
    return f'<span class="mark good">{icon("fresh")}{escape(say["fresh"])}</span>'


def _age(state: SeriesState, snapshot: Snapshot, language: Language) -> str:
    if state.last_close_time is None or state.age_seconds is None:
        return NOTHING
    if snapshot.series and state.venue == snapshot.series.partition(":")[0]:  # the browser has this venue's clock
        return ticking(words(language)["ago"], state.last_close_time, snapshot.now)
    return escape(words(language)["ago"].format(age=span(state.age_seconds)))


def completeness_panel(coverages: Mapping[str, Coverage], language: Language) -> str:
    """Return a row per series and a mark per day: complete, with missing candles, or lacking at the venue itself."""
    say = words(language)
    if not coverages:
        return panel(say["data_days"], quiet(say["data_no_days"]))
    heads = [say["data_name"], _days_head(coverages, language), say["data_complete"]]
    rows = [_days_row(name, coverage, language) for name, coverage in coverages.items()]
    body = rows_table(say["data_days"], heads, rows, texts=2)
    return panel(say["data_days"], f'{_key(language)}<div class="days">{body}</div>')


def _days_head(coverages: Mapping[str, Coverage], language: Language) -> str:
    days = [day.day for coverage in coverages.values() for day in coverage.days]
    if not days:
        return ""
    first, last = date_text(min(days), language), date_text(max(days), language)
    return words(language)["data_from_to"].format(first=first, last=last)


def _days_row(name: str, coverage: Coverage, language: Language) -> list[str]:
    share = coverage.completeness
    return [escape(name), _days_strip(coverage, language), NOTHING if share is None else completeness(share, language)]


def completeness(share: float, language: Language) -> str:
    """Write a share of candles that are there; it is 100 % only where none is missing."""
    written = min(share, 0.9999) if share < 1 else 1.0
    return f"{number(100 * written, 0 if written == 1 else 2, language)}{THIN}%"


def day_kind(day: DayCoverage) -> str:
    """Return what a day is drawn as: `empty`, `full`, `missing`, or `lacking` where the venue has no more."""
    if day.missing:
        return "missing" if day.stored else "empty"
    return "lacking" if day.confirmed else "full"


_MARKS = {
    "full": (0.0, 1.0, "var(--cc-base)", 0.5),
    "lacking": (0.5, 0.5, "var(--cc-base)", 0.8),
    "missing": (0.0, 1.0, "var(--cc-down)", 1.0),
    "empty": (0.86, 0.14, "var(--cc-down)", 1.0),
}
"""Kind of day: top and height as shares of the row, colour, opacity. Shape says the same as colour."""


def _days_strip(coverage: Coverage, language: Language) -> str:
    say, at, drawn = words(language), 0, []
    for kind, group in groupby(coverage.days, day_kind):
        days = list(group)
        top, height, colour, opacity = _MARKS[kind]
        drawn.append(
            f'<rect x="{at}" y="{16 * top:.1f}" width="{len(days)}" height="{16 * height:.1f}" fill="{colour}" '
            f'fill-opacity="{opacity}"><title>{escape(_span_text(days, kind, language))}</title></rect>'
        )
        at += len(days)
    missing = number(coverage.missing, 0, language)
    label = say["data_strip_alt"].format(stored=number(coverage.stored, 0, language), missing=missing)
    return (
        f'<svg class="strip-days" role="img" aria-label="{escape(label)}" width="100%" height="16" '
        f'viewBox="0 0 {max(1, at)} 16" preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )


def _span_text(days: list[DayCoverage], kind: str, language: Language) -> str:
    say = words(language)
    first, last = (date_text(day.day, language) for day in (days[0], days[-1]))
    when_said = first if len(days) == 1 else say["data_from_to"].format(first=first, last=last)
    return f"{when_said}: " + say[f"data_day_{kind}"].format(
        missing=number(sum(day.missing for day in days), 0, language),
        confirmed=number(sum(day.confirmed for day in days), 0, language),
    )


def _key(language: Language) -> str:
    say = words(language)
    items = "".join(f"<li>{_key_mark(kind)}{escape(say[f'data_key_{kind}'])}</li>" for kind in _MARKS)
    return f'<ul class="legend key">{items}</ul>'


def _key_mark(kind: str) -> str:
    top, height, colour, opacity = _MARKS[kind]
    return (
        f'<svg width="12" height="16" aria-hidden="true"><rect width="12" y="{16 * top:.1f}" '
        f'height="{16 * height:.1f}" fill="{colour}" fill-opacity="{opacity}"/></svg>'
    )


_RESULTS = {"training": "models", "drift": "drift"}
"""Job and the tab that shows what it made."""


def runs_panel(runs: tuple[Run, ...], snapshot: Snapshot | None, language: Language) -> str:
    """Return the newest runs: what, who asked, when, how long, how much, and how it ended with the way out."""
    say = words(language)
    if snapshot is None or not runs:
        return panel(say["data_runs"], quiet(say["data_no_runs"]))
    heads = [say[f"data_run_{name}"] for name in ("job", "outcome", "asked", "started", "took", "steps", "rows")]
    rows = [_run(run, snapshot, language) for run in runs]
    return panel(say["data_runs"], rows_table(say["data_runs"], heads, rows, texts=4))


def _run(run: Run, snapshot: Snapshot, language: Language) -> list[str]:
    say = words(language)
    at = run.started_at or run.requested_at
    steps = f"{number(run.done, 0, language)} / {number(run.target, 0, language)}" if run.target else NOTHING
    if run.failed:
        steps += f", {say['run_failed_steps'].format(n=number(run.failed, 0, language))}"
    return [
        escape(say.get(f"job_{run.job}", run.job)),
        _outcome(run, snapshot, language),
        escape(run.requested_by or say["data_schedule"]),
        # Runs happen in wall time, whatever the venue's clock says.
        escape(when(at, snapshot.taken_at.astimezone(snapshot.zone), language)) if at else NOTHING,
        NOTHING if run.elapsed_seconds is None else span(run.elapsed_seconds),
        escape(steps),
        number(run.rows, 0, language) if run.rows else NOTHING,
    ]


def _outcome(run: Run, snapshot: Snapshot, language: Language) -> str:
    say = words(language)
    tone = {"failed": "bad", "succeeded": "good"}.get(run.state, "")
    lines = [line for line in (run.message, run.error if run.error != run.message else None) if line]
    if remedy := say.get(f"remedy_{run.error_code}"):
        lines.append(remedy)
    drawn = "".join(f"<p>{escape(told(line, language))}</p>" for line in lines)
    state = f'<b class="{tone}">{escape(say[f"state_{run.state}"])}</b>'
    return f'<div class="outcome">{state}{drawn}{_result(run, snapshot, language)}{log_tail(run, language)}</div>'


def _result(run: Run, snapshot: Snapshot, language: Language) -> str:
    """Return a link to where stands what a run has made."""
    tab = _RESULTS.get(run.job)
    if tab is None or run.state != "succeeded":
        return ""
    address = "?" + urlencode({"series": snapshot.series or "", "tab": tab})
    return f'<p><a href="{escape(address)}">{escape(words(language)[f"data_to_{tab}"])}</a></p>'


def candles_panel(snapshot: Snapshot | None, language: Language) -> str:
    """Return the newest candles of the chosen series."""
    say = words(language)
    if snapshot is None or snapshot.candles is None or not snapshot.candles.open_time:
        return panel(say["data_newest_candles"], quiet(say["data_no_candles"]))
    columns = snapshot.candles
    step = Interval.parse(columns.interval).delta
    heads = [say[f"table_{name}"] for name in ("time", "open", "high", "low", "close")] + [say["data_volume"]]
    rows = [
        [
            escape(when(from_ms(columns.open_time[at]) + step, snapshot.now, language)),
            *(price(getattr(columns, name)[at], language, snapshot.decimals) for name in ("open", "high", "low")),
            price(columns.close[at], language, snapshot.decimals),
            number(columns.volume[at], 2, language),
        ]
        for at in range(len(columns.open_time) - 1, max(-1, len(columns.open_time) - 1 - _NEWEST), -1)
    ]
    return panel(say["data_newest_candles"], rows_table(say["data_newest_candles"], heads, rows))


def ledger_panel(snapshot: Snapshot | None, language: Language) -> str:
    """Return the newest rows of the ledger of the chosen series and horizon."""
    say = words(language)
    if snapshot is None or not snapshot.ledger:
        return panel(say["data_newest_rows"], quiet(say["data_no_rows"]))
    names = ("target", "said", "band", "came", "error", "model")
    heads = [say[f"data_row_{name}"] for name in names]
    rows = [_ledger_row(row, snapshot, language) for row in snapshot.ledger[: -_NEWEST - 1 : -1]]
    return panel(say["data_newest_rows"], rows_table(say["data_newest_rows"], heads, rows))


def _ledger_row(row: LedgerRow, snapshot: Snapshot, language: Language) -> list[str]:
    say, places = words(language), snapshot.decimals
    given, came = row.intervals.get("80"), row.realised_close
    return [
        escape(when(row.target_time, snapshot.now, language)),
        price(row.close, language, places),
        escape(bounds(given.lower, given.upper, language, places)) if given else NOTHING,
        escape(say["data_open"]) if came is None else price(came, language, places),
        NOTHING if came is None else escape(delta(row.close - came, came, language, places)),
        escape(row.model_version),
    ]
