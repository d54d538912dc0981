"""The Drift tab's panels: the newest report, the share of drifted columns over time, and each column's distance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from candlecast.api import ColumnDrift, CompareWindow, DriftReport
from ui.format import NOTHING, Language, moment_text, number, when
from ui.markup import heading, icon, panel, quiet, rows_table
from ui.plots import drawing, label, share
from ui.snapshot import Snapshot
from ui.words import words

_WIDEST = 2.0  # thresholds that the axis of distances reaches
_HEIGHT = 96
_LEFT, _RIGHT = 5.5, 99.5
_FEWEST = 14  # fewer reports do not make their bars wider


def head(language: Language) -> str:
    """Return the tab's heading."""
    say = words(language)
    return heading(say["drift_title"], say["drift_line"])


def newest(reports: Sequence[DriftReport], snapshot: Snapshot | None, language: Language) -> str:
    """Return what the newest report says, and what it compared."""
    say = words(language)
    if snapshot is None or not reports:
        return panel(say["drift_latest"], quiet(say["drift_none"]))
    report = reports[0]
    count = sum(column.drifted for column in report.columns)
    figures = {"n": number(count, 0, language), "total": number(len(report.columns), 0, language)}
    tone, word, picture = ("warn", "drift_yes", "warning") if report.drifted else ("good", "drift_no", "fresh")
    line = (
        f'<p class="chain {tone}">{icon(picture)}<span><b>{escape(say[word])}</b>, '
        f"{escape(say['drift_share'].format_map(figures))}</span></p>"
    )
    facts = [
        ("drift_made", when(report.created_at, snapshot.now, language)),
        ("drift_reference", _window(report.reference, snapshot, language)),
        ("drift_current", _window(report.current, snapshot, language)),
        ("drift_model", report.model_version or say["drift_no_model"]),
        ("drift_method", report.method),
        ("drift_alarms", _false_alarms(report, snapshot, language)),
    ]
    rows = "".join(f"<dt>{escape(say[key])}</dt><dd>{escape(value)}</dd>" for key, value in facts)
    return panel(say["drift_latest"], f'{line}<dl class="record">{rows}</dl>')


def _window(window: CompareWindow, snapshot: Snapshot, language: Language) -> str:
    start, end = (moment_text(moment.astimezone(snapshot.zone), language) for moment in (window.start, window.end))
    return words(language)["drift_window"].format(start=start, end=end, rows=number(window.rows, 0, language))


def _false_alarms(report: DriftReport, snapshot: Snapshot, language: Language) -> str:
    say, known = words(language), report.calibration
    if known is None:
        return say["drift_uncalibrated"]
    return say["drift_alarms_of"].format(
        column=share(known.column_rate, language, 0),
        whole=share(known.verdict_rate, language, 0),
        n=number(known.null_windows, 0, language),
        start=moment_text(known.start.astimezone(snapshot.zone), language),
    )


def over_time(reports: Sequence[DriftReport], snapshot: Snapshot | None, language: Language) -> str:
    """Return a bar per report, the oldest on the left: the share of columns that drifted."""
    say = words(language)
    if snapshot is None or not reports:
        return panel(say["drift_over_time"], quiet(say["drift_none"]))
    wide = (_RIGHT - _LEFT) / max(_FEWEST, len(reports))
    top, bottom = 8.0, _HEIGHT - 24.0
    limit = max(0.1, *(report.share for report in reports))
    parts = [label(f"{_LEFT - 0.7}%", top + 8, share(limit, language, 0), "end")]
    parts.append(label(f"{_LEFT - 0.7}%", bottom + 4, "0", "end"))
    for at, report in enumerate(reversed(reports)):
        height = max(1.0, report.share / limit * (bottom - top))
        said = f"{moment_text(report.created_at.astimezone(snapshot.zone), language)}: {share(report.share, language)}"
        fill = "var(--cc-down)" if report.drifted else "var(--cc-surface)"
        parts.append(
            f'<rect x="{_LEFT + (at + 0.15) * wide:.2f}%" y="{bottom - height:.1f}" width="{0.7 * wide:.2f}%" '
            f'height="{height:.1f}" fill="{fill}" stroke="var(--cc-{"down" if report.drifted else "base"})" '
            f'stroke-width="1.5"><title>{escape(said)}</title></rect>'
        )
    parts.append(f'<line x1="{_LEFT}%" x2="{_RIGHT}%" y1="{bottom}" y2="{bottom}" stroke="var(--cc-edge)"/>')
    parts.append(label(f"{_LEFT}%", _HEIGHT - 6, when(reports[-1].created_at, snapshot.now, language)))
    alt = say["drift_over_time_alt"].format(n=len(reports))
    return panel(say["drift_over_time"], drawing(alt, parts, _HEIGHT))


def columns(reports: Sequence[DriftReport], language: Language) -> str:
    """Return the table of columns in the newest report, the farthest moved first."""
    say = words(language)
    if not reports:
        return ""
    heads = [say[f"drift_{name}"] for name in ("column", "distance", "score", "threshold")]
    rows = [_column(column, language) for column in reports[0].columns]
    return panel(
        say["drift_columns"], f'<div class="columns">{rows_table(say["drift_columns"], heads, rows, texts=2)}</div>'
    )


def _column(column: ColumnDrift, language: Language) -> list[str]:
    name = escape(column.name)
    if column.score is None:
        return [name, "", NOTHING, number(column.threshold, 3, language)]
    return [
        f"<b>{name}</b>" if column.drifted else name,
        _distance(column.score / column.threshold if column.threshold else 0.0, drifted=column.drifted),
        number(column.score, 3, language),
        number(column.threshold, 3, language),
    ]


def _distance(times: float, *, drifted: bool) -> str:
    wide = min(times, _WIDEST) / _WIDEST * 100
    fill, edge = ("var(--cc-down)", "down") if drifted else ("var(--cc-surface)", "base")
    return (
        '<svg width="100%" height="14" aria-hidden="true">'
        f'<rect x="0" y="3" width="{wide:.1f}%" height="8" fill="{fill}" stroke="var(--cc-{edge})"/>'
        '<line x1="50%" x2="50%" y1="0" y2="14" stroke="var(--cc-ink)" stroke-width="1.5"/></svg>'
    )


def page(reports: Sequence[DriftReport], snapshot: Snapshot | None, language: Language) -> str:
    """Return the newest report that has a page, in a frame that may run its scripts and reach nothing else."""
    say = words(language)
    shown = next((report for report in reports if report.report is not None), None)
    if shown is None or snapshot is None:
        return panel(say["drift_page"], quiet(say["drift_no_page"] if reports else say["drift_none"]))
    frame = (
        f'<iframe src="files/drift/{shown.id}" sandbox="allow-scripts" loading="lazy" '
        f'title="{escape(say["drift_frame"])}"></iframe>'
    )
    title = say["drift_page_of"].format(time=when(shown.created_at, snapshot.now, language))
    return panel(title, f'<details class="more"><summary>{escape(say["drift_open"])}</summary>{frame}</details>')
