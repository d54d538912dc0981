"""What a series lacks before it is asked for, and what the run says about what it lacks then."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from candlecast.candles import Series
from candlecast.jobs import Run
from candlecast.spans import Span, intersect, subtract
from candlecast.store import audits, gaps
from ingestion_job.findings import Findings, count
from ingestion_job.plan import Places, next_recheck, plan

log = logging.getLogger(__name__)

_FRESH = timedelta(days=1)
"""How long every run tries to replace candles of fall-backs; then only the first run of a day does."""


def survey(
    connection: Connection,
    series: Series,
    places: Places,
    window: Span,
    *,
    now: datetime,
    overlap: int,
    thorough: bool,
    again: bool,
) -> Findings:
    """Return what is known about a series, with the plan of what to ask for.

    A `thorough` survey looks for all candles of fall-backs that could be replaced, not only for the newest. With
    `again` all of the window is asked for, as if nothing were stored.
    """
    since = window.start if thorough else max(window.start, min(window.end, now - _FRESH))
    holes = gaps.unexplained(connection, series, window.start, window.end, now=now)
    steps = plan(
        series,
        places,
        window,
        [window] if again and window.start < window.end else holes,
        gaps.borrowed(connection, series, since, window.end),
        now=now,
        overlap=overlap,
    )
    return Findings(series, places, window, now, steps)


def settle(run: Run, findings: Findings, waits: Sequence[timedelta]) -> None:
    """Confirm the gaps that the venue has itself, and let the series fail for what nobody could answer.

    A gap is confirmed when each of the series' own sources was heard to the end and none has the candles. A hole among
    the newest candles is left to the next run.
    """
    series, window = findings.series, findings.window
    with run.database.begin() as connection:
        holes = gaps.unexplained(connection, series, window.start, window.end, now=findings.now)
        exhausted = findings.exhausted
        gone = intersect(intersect(holes, exhausted), [findings.settled])
        _confirm(connection, findings, gone, waits)
        audits.record(connection, series, window.start, window.end, now=findings.now)
    findings.confirmed = count(gone, series)
    if refused := findings.refused:
        log.warning("refused %d rows", refused.total(), extra={"fields": {"refused": dict(refused)}})
    if silent := subtract(holes, exhausted):
        run.fail(str(series), findings.failure(silent))
    else:
        run.advance(str(series), done=findings.plan.candles - findings.done)


def _confirm(connection: Connection, findings: Findings, gone: Sequence[Span], waits: Sequence[timedelta]) -> None:
    series, now = findings.series, findings.now
    known = gaps.confirmed(connection, series, findings.window.start, findings.window.end)
    alike: dict[tuple[str, timedelta], list[Span]] = defaultdict(list)
    for span in gone:
        before = [gap.because.recheck_at - gap.because.confirmed_at for gap in known if intersect([gap.span], [span])]
        alike[findings.evidence(span), next_recheck(max(before, default=None), waits)].append(span)
    for (evidence, wait), spans in alike.items():
        gaps.confirm(
            connection,
            series,
            spans,
            source=findings.places.venue,
            evidence=evidence,
            now=now,
            recheck_at=now + wait,
        )
