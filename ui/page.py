"""What the page remembers between two looks, and how the controls' values become choices."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from candlecast.candles import to_ms
from candlecast.client import ApiError, ServiceAway
from candlecast.errors import CandlecastError
from ui import manual, panels
from ui.chart import figure
from ui.chart_rows import NARROW, Look
from ui.format import Language, moment_text
from ui.looks import Gather, Looks
from ui.own_candles import OwnCandles
from ui.snapshot import Snapshot
from ui.theme import Mode, Palette, mode_of
from ui.words import HTML_LANG, spoken, words

THIN = "\N{NARROW NO-BREAK SPACE}"


TABS: Final = ("forecast", "record", "data", "models", "drift", "own", "reading")
WINDOWS: Final = ("2000", "30", "90", "all")
"""What a track record can be over: the newest forecasts, the newest days, everything."""
REFRESH_SECONDS: Final = 5
_FASTEST, _SLOWEST = 3, 60
_WIDTH_STEP: Final = 10  # px: pages that differ by less share a chart


@dataclass(frozen=True, slots=True)
class View:
    """How the reader wants to see it, and what."""

    language: Language = "en"
    dark: bool = False
    width: int = 1440
    past: bool = True
    past_candles: bool = False
    line: bool = False
    tab: str = TABS[0]
    palette: Palette = "violet"
    zone: str = "UTC"
    """The reader's time zone, as the time zone database names it."""
    every: int = REFRESH_SECONDS
    """Seconds from one refresh to the next."""
    window: str = WINDOWS[0]
    page: str = manual.FIRST
    """The page of the documentation that is open."""

    @property
    def mode(self) -> Mode:
        """The colours."""
        return mode_of(self.palette, dark=self.dark)

    @property
    def place(self) -> tzinfo:
        """The time zone; UTC where the name is not known here."""
        try:
            return ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            return UTC

    @property
    def look(self) -> Look:
        """The part that the chart needs."""
        return Look(self.language, self.mode, self.width, self.past, self.past_candles, self.line)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes a new drawing necessary; not every pixel of width does."""
        narrow = self.width < NARROW
        drawn = (self.past, self.past_candles, self.line)
        return (self.tab, self.language, self.mode, self.zone, narrow, *drawn, self.window, self.page)


@dataclass(eq=False)
class Session:
    """One open page: the last good look at the service, what is wrong now, and what is on the screen."""

    snapshot: Snapshot | None = None
    trouble: CandlecastError | None = None
    mark: int = 0
    """Grows with every choice the reader makes, so that a slower answer to an older one can be dropped."""
    asking: bool = False
    """Whether "Forecast now" is at work."""
    asked_at: float = 0.0
    """When it last ended, by the process' own clock."""
    picked: str | None = None
    """The model version whose card is open."""
    own: OwnCandles | None = None
    """The candles that the reader brought."""
    watched: int | None = None
    """The request of the run that goes on and that this page asked for."""
    shown: tuple[object, ...] = field(default=())
    found: dict[str, object] = field(default_factory=dict)
    """What each tab has found beside the snapshot."""

    def begin(self) -> int:
        """Note that the reader has chosen something."""
        self.mark += 1
        return self.mark

    @property
    def starting(self) -> bool:
        """Whether the service answers, but has not loaded what it needs yet."""
        return isinstance(self.trouble, ApiError) and self.trouble.code == "store_unavailable"

    def trouble_line(self, language: Language, every: float, zone: tzinfo = UTC) -> str:
        """Return what is wrong as a sentence, empty when nothing is."""
        if self.trouble is None:
            return ""
        say, seconds = words(language), f"{every:.0f}{THIN}s"
        again = say["away_again"].format(s=seconds)
        parts = [self._cause(self.trouble, language, seconds)]
        if not (isinstance(self.trouble, ApiError) and self.trouble.status == 429):
            parts.append(again)
        if self.snapshot is not None:
            parts.append(say["away_since"].format(time=moment_text(self.snapshot.taken_at.astimezone(zone), language)))
        return " ".join(parts)

    @staticmethod
    def _cause(trouble: CandlecastError, language: Language, seconds: str) -> str:
        say = words(language)
        if not isinstance(trouble, ApiError):
            return say["away"]
        if trouble.status == 429:
            return say["many_requests"].format(s=seconds)
        if trouble.code == "unreadable_answer":
            return say["unreadable"].format(detail=trouble.message)
        if trouble.status in (502, 503, 504):
            return say["away"]
        request = (trouble.problem.model_extra or {}).get("request_id") or trouble.code
        return say["failed"].format(id=request)


def refresh(
    session: Session,
    looks: Looks,
    view: View,
    series: str | None,
    horizon: int | None,
    keep: int | None = None,
    gather: Gather | None = None,
) -> None:
    """Look again; on failure the old figures stay. With `keep`, drop the answer when the reader chose since."""
    mark = session.mark if keep is None else keep
    try:
        seen = looks.look(series, horizon, session.snapshot)
    except (ApiError, ServiceAway) as error:
        if session.mark == mark:
            session.trouble = error
        return
    fresh, found = replace(seen, now=seen.now.astimezone(view.place)), session.found.get(view.tab)
    trouble: CandlecastError | None = None
    try:
        found = looks.gather(view.tab, view.window, fresh, found, gather) if gather else None
    except (ApiError, ServiceAway) as error:
        trouble = error
    if session.mark == mark:
        session.snapshot, session.trouble = fresh, trouble
        session.found[view.tab] = found


def shows(session: Session, view: View) -> bool:
    """Return whether the page already shows what the session knows."""
    return session.shown == _shown(session, view)


def note_shown(session: Session, view: View) -> None:
    """Note that the page shows from now on what the session knows."""
    session.shown = _shown(session, view)


def _shown(session: Session, view: View) -> tuple[object, ...]:
    content = session.snapshot.content if session.snapshot else (str(session.trouble),)
    return (view.key, content, session.found.get(view.tab))


def read(
    browser: str,
    tab: str | None,
    pair: str | None,
    interval: str | None,
    horizon: int | None,
    language: str | None,
    zone: str | None,
    palette: str | None,
    dark: bool | None,
    past: bool,
    past_candles: bool,
    style: str,
    window: str | None,
    page: str | None,
    session: Session,
) -> tuple[View, str | None, int | None, Session]:
    """Return the controls' values as view, series and horizon."""
    known = _browser(browser)
    shown = {"tab": tab, "language": language, "zone": zone, "palette": palette, "dark": dark}
    shown |= {"past": past, "past_candles": past_candles, "style": style, "window": window, "page": page}
    return _view(known | shown), _series(pair, interval), horizon, session


def restored(browser: str) -> tuple[View, str | None, int | None]:
    """Return view, series and horizon as this browser had them last, or what it asks for by itself."""
    known = _browser(browser)
    language = known.get("language") or known.get("browser") or "en"
    horizon = known.get("horizon")
    series = _series(known.get("series"), known.get("interval"))
    return _view(known | {"language": language}), series, horizon if isinstance(horizon, int) else None


def _view(known: dict[str, Any]) -> View:
    width, every, tab, window = (known.get(name) for name in ("width", "every", "tab", "window"))
    local = str(known.get("timezone") or "UTC")
    return View(
        language=spoken(str(known.get("language"))),
        dark=bool(known.get("dark")),
        width=_rounded(width) if isinstance(width, int | float) else View().width,
        tab=tab if tab in TABS else TABS[0],
        palette="federal" if known.get("palette") == "federal" else "violet",
        zone=local if known.get("zone") == "local" else "UTC",
        every=min(_SLOWEST, max(_FASTEST, int(every))) if isinstance(every, int | float) else REFRESH_SECONDS,
        past=known.get("past") is not False,
        past_candles=known.get("past_candles") is True,
        line=known.get("style") == "line",
        window=window if window in WINDOWS else WINDOWS[0],
        page=str(known.get("page") or manual.FIRST),
    )


def _rounded(width: float) -> int:
    return int(width) // _WIDTH_STEP * _WIDTH_STEP


def _series(pair: object, interval: object) -> str | None:
    return f"{pair}:{interval}" if pair and interval else None


def _browser(text: str | None) -> dict[str, Any]:
    try:
        known = json.loads(text or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def choices(snapshot: Snapshot) -> tuple[list[tuple[str, str]], list[str], list[tuple[str, int]]]:
    """Return what the pickers offer: venue and symbol, the intervals of the chosen one, the horizons."""
    names = [state.series for state in snapshot.listing.series]
    pairs = list(dict.fromkeys(name.rpartition(":")[0] for name in names))
    chosen = (snapshot.series or "").rpartition(":")[0]
    intervals = [name.rpartition(":")[2] for name in names if name.rpartition(":")[0] == chosen]
    horizons = [f.horizon for f in snapshot.forecasts] or snapshot.listing.horizons
    return (
        [(pair.replace(":", " · "), pair) for pair in pairs],
        sorted(intervals, key=_length),
        [(str(horizon), horizon) for horizon in horizons],
    )


def _length(interval: str) -> int:
    return int(interval[:-1]) * {"m": 1, "h": 60, "d": 1440}[interval[-1]]


def pulse(session: Session, view: View, *, news: bool = False) -> str:
    """Return the hidden element from which the browser takes clock, title, language and the announcement.

    With `news` the browser asks for the tab to be drawn.
    """
    snapshot, now = session.snapshot, datetime.now(UTC)
    forecast = snapshot.forecast if snapshot else None
    cutoff = to_ms(forecast.cutoff) if forecast and forecast.cutoff else ""
    data = {
        "now": snapshot_now(snapshot, now),
        "speed": snapshot.speed if snapshot else 1,
        "lang": HTML_LANG[view.language],
        "tab": view.tab,
        "news": "yes" if news else "",
        "title": panels.page_title(snapshot, view.language),
        "key": f"{snapshot.series}/{snapshot.horizon}|{cutoff}" if snapshot and cutoff else "",
        "say": panels.announcement(snapshot, view.language),
    }
    return "<i hidden " + " ".join(f'data-{name}="{escape(str(value))}"' for name, value in data.items()) + "></i>"


def snapshot_now(snapshot: Snapshot | None, wall: datetime) -> int:
    """Return the venue's clock in epoch milliseconds, carried on from the last good look."""
    if snapshot is None:
        return to_ms(wall)
    return to_ms(snapshot.now) + round(snapshot.speed * (wall - snapshot.taken_at).total_seconds() * 1000)


def figure_json(snapshot: Snapshot | None, look: Look, empty: str) -> str:
    """Return the chart, or the word `empty` in its place, with settings that Gradio does not offer: no mode bar."""
    drawn = json.loads(figure(snapshot, look, empty).to_json())
    drawn["config"] = {"displayModeBar": False, "doubleClick": False, "showTips": False, "scrollZoom": False}
    return json.dumps(drawn)
