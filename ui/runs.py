"""Asking for work and watching it: what a run says while it goes on, and what it ended with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from html import escape

from candlecast.api import JobName, Run
from candlecast.client import ApiError, Client, ServiceAway, TokenNeeded
from ui.format import Language, number, span
from ui.markup import icon
from ui.told import told
from ui.words import words

_ENDED = ("succeeded", "failed", "cancelled")
_LONG_QUEUE = 20.0
LONGEST_WATCH = 1800.0


def follow(
    client: Client,
    job: JobName,
    series: list[str] | None,
    begin: datetime | None = None,
    end: datetime | None = None,
    *,
    pause: float = 1.0,
    longest: float = LONGEST_WATCH,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Run, float]]:
    """Ask for a run and yield it with the seconds since, until it has ended or `longest` is over.

    Ingestion fetches from `begin` on and up to `end`, where these are given.
    """
    start = clock()
    run = client.request_run(job, series, begin, end)
    request = run.request_id
    yield run, 0.0
    while run.state not in _ENDED and clock() - start < longest:
        sleep(pause)
        try:
            run = (client.run(request) if request is not None else None) or run
        except (ServiceAway, ApiError):
            continue  # the run goes on without us; ask again
        yield run, clock() - start


def ended(run: Run) -> bool:
    """Whether nothing more will come."""
    return run.state in _ENDED


def progress(run: Run, waited: float, language: Language, longest: float = LONGEST_WATCH) -> str:
    """Return what a run is doing, how far it is, and how it ended."""
    say = words(language)
    name = say.get(f"job_{run.job}", run.job)
    message = f'<p class="message">{escape(told(run.message, language))}</p>' if run.message else ""
    parts = "".join(f"<li>{escape(part)}</li>" for part in _figures(run, waited, language))
    lines = "".join(f"<p>{escape(line)}</p>" for line in _hints(run, waited, longest, language))
    tone = {"failed": "bad", "succeeded": "good"}.get(run.state, "plain")
    return (
        f'<div class="run {tone}"><p class="head"><b>{escape(name)}</b> · {escape(say[f"state_{run.state}"])}</p>'
        f"{_bar(run, name)}{message}<ul>{parts}</ul>{lines}{log_tail(run, language)}</div>"
    )


def log_tail(run: Run, language: Language) -> str:
    """Return the newest lines that a run logged, folded away; nothing where there are none beside its message.

    They are what the job wrote, in its own language, at times of the wall clock.
    """
    if all(line.message == run.message for line in run.log):
        return ""
    lines = "\n".join(f"{line.at:%H:%M:%S} {line.level:7} {line.message}" for line in run.log)
    summary = f"<summary>{escape(words(language)['run_log'])}</summary>"
    return f'<details class="log">{summary}<pre tabindex="0" lang="en">{escape(lines)}</pre></details>'


def _bar(run: Run, name: str) -> str:
    if run.state in _ENDED:
        return ""
    if not run.target:
        return f'<progress aria-label="{escape(name)}"></progress>'
    return f'<progress aria-label="{escape(name)}" max="{run.target}" value="{min(run.done, run.target)}"></progress>'


def _figures(run: Run, waited: float, language: Language) -> list[str]:
    say, parts = words(language), []
    if run.target:
        parts.append(
            say["run_steps"].format(done=number(run.done, 0, language), target=number(run.target, 0, language))
        )
    if run.failed:
        parts.append(say["run_failed_steps"].format(n=number(run.failed, 0, language)))
    if run.rows:
        parts.append(say["run_rows"].format(n=number(run.rows, 0, language)))
    elapsed = run.elapsed_seconds if run.elapsed_seconds is not None else waited
    parts.append(say["run_took" if run.state in _ENDED else "run_elapsed"].format(t=span(elapsed)))
    if run.rate and run.state == "running":
        parts.append(say["run_rate"].format(n=number(run.rate, 0 if run.rate >= 10 else 1, language)))
    if run.eta_seconds and run.state == "running":
        parts.append(say["run_eta"].format(t=span(run.eta_seconds)))
    return parts


def _hints(run: Run, waited: float, longest: float, language: Language) -> list[str]:
    say, hints = words(language), []
    if run.error and run.error != run.message:
        hints.append(told(run.error, language))
    if run.error_code and (remedy := say.get(f"remedy_{run.error_code}")):
        hints.append(remedy)
    if run.state == "queued" and waited > _LONG_QUEUE:
        hints.append(say["run_queued_long"])
    if run.state not in _ENDED and waited >= longest:
        hints.append(say["run_unwatched"].format(t=span(waited)))
    return hints


def refusal(error: ApiError | ServiceAway, language: Language, *, token_given: bool) -> str:
    """Return why a run could not be asked for, and the way out."""
    say = words(language)
    if isinstance(error, TokenNeeded):
        lines = [say["token_wrong"] if token_given else say["token_note"]]
    elif isinstance(error, ServiceAway):
        lines = [say["remedy_service_away"]]
    else:
        lines = [told(error.message, language), say.get(f"remedy_{error.code}", "")]
    drawn = " ".join(escape(line) for line in lines if line)
    return f'<div class="run bad"><p class="head">{icon("warning")} {drawn}</p></div>'


def line(text: str, tone: str = "plain") -> str:
    """Return one line in the place of a run; `text` is markup."""
    return f'<div class="run {tone}"><p class="head">{text}</p></div>'
