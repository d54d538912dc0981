"""The panels around the chart as semantic HTML: header, banners, chips, cards, the predicted candle, the record."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from candlecast.api import Bounds, LatestForecast, Point
from ui.format import NOTHING, THIN, Language, bounds, chance, delta, moment_text, number, price, when
from ui.markup import MARK, icon, ticking
from ui.snapshot import Snapshot
from ui.words import words

_GHOST_HEIGHT = 132
_GHOST_LEAST = 4  # px: a thinner body could not be seen


def header(language: Language) -> str:
    """Return mark, name and motto."""
    motto = escape(words(language)["motto"])
    return (
        f'<a class="skip" href="#content">{escape(words(language)["skip"])}</a>'
        f'<div class="brand">{MARK}<span class="name">candlecast</span><span class="motto">{motto}</span></div>'
        f'<button type="button" class="menu" data-menu aria-expanded="false" aria-controls="settings" '
        f'aria-label="{escape(words(language)["settings"])}">{icon("menu")}</button>'
    )


def rate(every: int, language: Language) -> str:
    """Return the slider for the time between two refreshes; the browser keeps it."""
    say = words(language)
    text = escape(say["refresh"]).format(s=f"<b data-seconds>{every}</b>{THIN}s")
    return (
        f'<label class="rate"><span>{text}</span><input type="range" data-rate min="3" max="60" step="1" '
        f'value="{every}" aria-label="{escape(say["refresh_label"])}"></label>'
    )


def banners(snapshot: Snapshot | None, language: Language) -> str:
    """Return the banners that cannot be closed, an empty string where none holds."""
    if snapshot is None:
        return ""
    say = words(language)
    kinds = [kind for kind, holds in (("simulated", snapshot.simulated), ("baseline", snapshot.baseline)) if holds]
    return "".join(
        f'<div class="banner {kind}" role="status">{icon("warning")}<p><strong>{escape(say[kind])}</strong> '
        f"{escape(say[f'{kind}_line'])}</p></div>"
        for kind in kinds
    )


def page_title(snapshot: Snapshot | None, language: Language) -> str:
    """Return the title of the page; it repeats the banner's word."""
    say, parts = words(language), ["candlecast"]
    if snapshot and snapshot.series:
        parts.insert(0, snapshot.series)
    if snapshot and snapshot.baseline:
        parts.insert(0, say["baseline"])
    if snapshot and snapshot.simulated:
        parts.insert(0, say["simulated"])
    return " · ".join(parts)


def notice(line: str) -> str:
    """Return the strip that says what is wrong while old figures stay; empty without a line."""
    return f'<div class="notice" role="status">{icon("warning")}<p>{escape(line)}</p></div>' if line else ""


def chips(snapshot: Snapshot | None, language: Language) -> str:
    """Return how fresh the candles are and whether the ledger holds."""
    if snapshot is None:
        return ""
    return f'<div class="chips">{_freshness(snapshot, language)}{_ledger(snapshot, language)}</div>'


def _freshness(snapshot: Snapshot, language: Language) -> str:
    say, newest, state = words(language), snapshot.newest_close, snapshot.state
    if newest is None:
        return _chip("warn", "stale", say["no_candle"], "")
    stale = (state is not None and not state.fresh) or (snapshot.forecast is not None and snapshot.forecast.stale)
    age = ", " + ticking(say["newest_candle"], newest, snapshot.now)
    return _chip("warn", "stale", say["stale"], age) if stale else _chip("good", "fresh", say["fresh"], age)


def _ledger(snapshot: Snapshot, language: Language) -> str:
    say, status = words(language), snapshot.status
    if status is None:
        return ""
    rows = ", " + escape(say["rows"].format(n=number(status.ledger_rows, 0, language)))
    title = say["ledger_why"]
    if status.ledger_intact is None:
        return _chip("plain", "chain", say["ledger_unchecked"], rows, title)
    if status.ledger_intact:
        return _chip("good", "chain", say["ledger_intact"], rows, title)
    return _chip("bad", "broken", say["ledger_broken"].format(n=status.ledger_broken_at or NOTHING), "", title)


def _chip(tone: str, picture: str, word: str, rest: str, title: str = "") -> str:
    hint = f' title="{escape(title)}"' if title else ""
    return f'<span class="chip {tone}"{hint}>{icon(picture)}<span><b>{escape(word)}</b>{rest}</span></span>'


def cards(snapshot: Snapshot | None, language: Language) -> str:
    """Return the six cards; what is not known is an en dash."""
    checked = snapshot is not None and snapshot.cross_check is not None
    makers = (_last_close, _next_close, _intervals, _chance, _known, _cross_check if checked else _written_by)
    drawn = "".join(make(snapshot, language) for make in makers)
    return f'<section class="cards" aria-label="{escape(words(language)["forecast"])}">{drawn}</section>'


def _spoken(snapshot: Snapshot | None) -> LatestForecast | None:
    return snapshot.forecast if snapshot and not snapshot.abstained else None


def _card(label: str, value: str, note: str, *, said: bool = False, kind: str = "") -> str:
    mark = '<i class="dash" aria-hidden="true"></i>' if said else ""
    tone = " said" if said else ""
    return (
        f'<div class="cell {kind}"><p class="label">{mark}{escape(label)}</p>'
        f'<div class="value{tone}">{value}</div><div class="sub">{note}</div></div>'
    )


def _last_close(snapshot: Snapshot | None, language: Language) -> str:
    say = words(language)
    value = _known_close(snapshot)
    quote = snapshot.parsed.symbol.quote if snapshot and snapshot.parsed else ""
    newest = snapshot.newest_close if snapshot else None
    note = NOTHING
    if snapshot and newest:
        note = ticking(say["ago"], newest, snapshot.now) if snapshot.live else escape(_date(newest, snapshot, language))
    text = price(value, language, snapshot.decimals if snapshot else None)
    return _card(say["card_last"].format(quote=quote).rstrip(", "), text, note)


def _known_close(snapshot: Snapshot | None) -> float | None:
    if snapshot is None:
        return None
    if snapshot.forecast and snapshot.forecast.last_close is not None and not snapshot.abstained:
        return snapshot.forecast.last_close
    return snapshot.candles.close[-1] if snapshot.candles and snapshot.candles.close else None


def _next_close(snapshot: Snapshot | None, language: Language) -> str:
    say, forecast = words(language), _spoken(snapshot)
    ahead = snapshot.horizon if snapshot else 1
    label = say["card_next"] if ahead == 1 else say["card_ahead"].format(n=ahead)
    if snapshot is None or forecast is None or forecast.point is None:
        return _card(label, NOTHING, "", kind="nothing")
    value = price(forecast.point.close, language, snapshot.decimals)
    if snapshot.baseline:
        return _card(say["card_baseline"], value, escape(say["is_no_change"]))
    base = forecast.last_close
    moved = delta(forecast.point.close - base, base, language, snapshot.decimals) if base else ""
    return _card(label, value, escape(moved), said=True)


def _intervals(snapshot: Snapshot | None, language: Language) -> str:
    say, forecast = words(language), _spoken(snapshot)
    if snapshot is None or forecast is None or not forecast.intervals:
        return _card(say["card_intervals"], NOTHING, "", kind="nothing wide")
    rows = "".join(
        f"<p><span>{number(int(percent), 0, language)}\N{NARROW NO-BREAK SPACE}%</span> "
        f'<b class="p{escape(percent)}">{_bounds(forecast.intervals[percent], snapshot, language)}</b></p>'
        for percent in ("80", "95")
        if percent in forecast.intervals
    )
    said = not snapshot.baseline
    return _card(say["card_intervals"], rows, "", said=said, kind="wide pair")


def _bounds(given: Bounds, snapshot: Snapshot, language: Language) -> str:
    return bounds(given.lower, given.upper, language, snapshot.decimals)


def _chance(snapshot: Snapshot | None, language: Language) -> str:
    say, forecast = words(language), _spoken(snapshot)
    if forecast is None:
        return _card(say["card_chance"], NOTHING, "", kind="nothing")
    if forecast.p_up is None:
        return _card(say["card_chance"], NOTHING, escape(say["no_opinion"]), kind="nothing")
    return _card(
        say["card_chance"],
        chance(forecast.p_up, language),
        f'{_chance_bar(forecast.p_up)}<span class="quiet">{escape(say["coin"])}</span>',
        said=True,
    )


def _chance_bar(p_up: float) -> str:
    low, high = sorted((100 * p_up, 50.0))
    return (
        '<svg class="bar" width="100%" height="10" aria-hidden="true">'
        '<rect x="0" y="3" width="100%" height="4" rx="2" fill="var(--cc-sunk)"/>'
        f'<rect x="{low:.2f}%" y="3" width="{high - low:.2f}%" height="4" fill="var(--cc-said)"/>'
        '<line x1="50%" x2="50%" y1="0" y2="10" stroke="var(--cc-ink)" stroke-width="1.5"/></svg>'
    )


def _known(snapshot: Snapshot | None, language: Language) -> str:
    say, forecast = words(language), _spoken(snapshot)
    if snapshot is None or forecast is None or forecast.target_time is None or forecast.cutoff is None:
        return _card(say["card_known_plain"], NOTHING, "", kind="nothing")
    label = say["card_known"].format(time=when(forecast.target_time, snapshot.now, language))
    if not snapshot.live:
        left = f'<span class="moment">{escape(_date(forecast.target_time, snapshot, language))}</span>'
        return _card(say["card_known_plain"], left, escape(say["horizon_of"].format(n=forecast.horizon)))
    left = ticking(say["in"], forecast.target_time, snapshot.now, down=True, past=say["any_moment"])
    cutoff = say["cutoff"].format(time=_hours(forecast.cutoff.astimezone(snapshot.zone)), n=forecast.horizon)
    return _card(label, left, escape(cutoff))


def _date(moment: datetime, snapshot: Snapshot, language: Language) -> str:
    return moment_text(moment.astimezone(snapshot.zone), language)


def _hours(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def _written_by(snapshot: Snapshot | None, language: Language) -> str:
    say, forecast = words(language), _spoken(snapshot)
    if snapshot is None or forecast is None or forecast.model_version is None:
        return _card(say["card_model"], NOTHING, "", kind="nothing")
    name = f'<span class="model" title="{escape(forecast.model_version)}">{escape(forecast.model_version)}</span>'
    at = when(forecast.issued_at, snapshot.now, language) if forecast.issued_at else NOTHING
    return _card(say["card_model"], name, escape(say["written_at"].format(time=at)))


def _cross_check(snapshot: Snapshot | None, language: Language) -> str:
    say, given = words(language), snapshot.cross_check if snapshot else None
    if snapshot is None or given is None:
        return ""
    label = say["card_check"].format(source=given.source)
    age = ticking(say["old"], given.priced_at, datetime.now(UTC))
    close = _known_close(snapshot)
    away = f"{number(100 * abs(given.price / close - 1), 2, language)}{THIN}%" if close else NOTHING
    if given.disagrees:
        warning = f'<p class="disagrees">{icon("warning")}{escape(say["check_off"].format(x=away))}</p>'
        return _card(label, price(given.price, language, snapshot.decimals), f"{warning}{age}")
    note = escape(say["check_unknown"] if given.disagrees is None else say["check_agrees"].format(x=away))
    return _card(label, price(given.price, language, snapshot.decimals), f"{note} · {age}")


def next_candle(snapshot: Snapshot | None, language: Language) -> str:
    """Return the predicted candle: the quantities that exist, and a drawing in its intervals."""
    say, forecast = words(language), _spoken(snapshot)
    ahead = snapshot.horizon if snapshot else 1
    title = say["next_candle"] if ahead == 1 else say["ahead_candle"].format(n=ahead)
    head = f'<section class="card panel"><h2>{escape(title)}</h2>'
    if snapshot is None or forecast is None or forecast.point is None:
        return f'{head}<p class="quiet">{escape(say["future_blank"])}</p></section>'
    rows = "".join(
        f"<tr><th scope=row>{escape(say[name])}</th><td>{price(value, language, snapshot.decimals)}</td></tr>"
        for name in ("open", "high", "low", "close", "range")
        if (value := getattr(forecast.point, name)) is not None
    )
    tone = " plain" if snapshot.baseline else ""
    table = f'<table class="figures{tone}">{rows}</table>'
    return f'{head}<div class="candle">{table}{_ghost(forecast, forecast.point, language)}</div></section>'


def _ghost(forecast: LatestForecast, point: Point, language: Language) -> str:
    wide, narrow = ((forecast.intervals or {}).get(percent) for percent in ("95", "80"))
    if wide is None or narrow is None or forecast.last_close is None:
        return ""
    low = min(wide.lower, point.low or wide.lower)
    high = max(wide.upper, point.high or wide.upper)
    tone = "var(--cc-base)" if forecast.status == "baseline" else "var(--cc-said)"

    def y(value: float) -> float:
        return 10 + (high - value) / ((high - low) or 1) * (_GHOST_HEIGHT - 20)

    label = words(language)["no_change"]
    bands = _band(y(wide.upper), y(wide.lower), tone, 0.10, ' stroke-dasharray="2 3"')
    bands += _band(y(narrow.upper), y(narrow.lower), tone, 0.18, "")
    middle = y(forecast.last_close)
    names = _note_at(y(wide.upper), "95") + _note_at(max(y(narrow.upper), y(wide.upper) + 15), "80")
    return (
        f'<svg class="ghost" width="184" height="{_GHOST_HEIGHT}" viewBox="0 0 184 {_GHOST_HEIGHT}" '
        f'aria-hidden="true">{bands}'
        f'<line x1="0" x2="92" y1="{middle:.1f}" y2="{middle:.1f}" stroke="var(--cc-base)" stroke-dasharray="5 4"/>'
        f'<text x="98" y="{middle + 4:.1f}" font-size="12" fill="var(--cc-base)">{escape(label)}</text>{names}'
        f"{_body(point, y, tone)}</svg>"
    )


def _band(top: float, bottom: float, tone: str, opacity: float, dash: str) -> str:
    edges = "".join(f'<line x1="14" x2="74" y1="{y:.1f}" y2="{y:.1f}" stroke="{tone}"{dash}/>' for y in (top, bottom))
    fill = f'<rect x="14" y="{top:.1f}" width="60" height="{bottom - top:.1f}" fill="{tone}" fill-opacity="{opacity}"/>'
    return fill + edges


def _note_at(y: float, percent: str) -> str:
    return (
        f'<text x="82" y="{y + 4:.1f}" font-size="12" fill="var(--cc-ink2)">{percent}\N{NARROW NO-BREAK SPACE}%</text>'
    )


def _body(point: Point, y: object, tone: str) -> str:
    scale = y if callable(y) else float
    if point.open is None or point.high is None or point.low is None:
        at = scale(point.close)
        return f'<line x1="32" x2="56" y1="{at:.1f}" y2="{at:.1f}" stroke="{tone}" stroke-width="3"/>'
    top, bottom = sorted((scale(point.open), scale(point.close)))
    if bottom - top < _GHOST_LEAST:
        middle = (top + bottom) / 2
        top, bottom = middle - _GHOST_LEAST / 2, middle + _GHOST_LEAST / 2
    style = f'stroke="{tone}" stroke-width="2" stroke-dasharray="3 2"'
    wick = f"M44 {scale(point.high):.1f}V{top:.1f}M44 {bottom:.1f}V{scale(point.low):.1f}"
    return (
        f'<path d="{wick}" {style}/><rect x="34" y="{top:.1f}" width="20" height="{bottom - top:.1f}" '
        f'fill="var(--cc-surface)" {style}/>'
    )


def written_down(snapshot: Snapshot | None, language: Language) -> str:
    """Return the forecast as the ledger holds it: whose, when, by which model, and what stood beside it."""
    say, forecast = words(language), _spoken(snapshot)
    if snapshot is None or forecast is None:
        return ""

    def at(moment: datetime | None) -> str:
        return when(moment, snapshot.now, language) if moment and snapshot else NOTHING

    rows = [
        ("written_series", forecast.series),
        ("written_cutoff", at(forecast.cutoff)),
        ("written_issued", at(forecast.issued_at)),
        ("written_target", at(forecast.target_time)),
        ("written_model", forecast.model_version or NOTHING),
    ]
    beside = forecast.baseline
    if beside is not None and not snapshot.baseline:
        rows.append(("written_baseline", f"{beside.model_version}: {price(beside.close, language, snapshot.decimals)}"))
    drawn = "".join(f"<dt>{escape(say[key])}</dt><dd>{escape(value)}</dd>" for key, value in rows)
    return f'<section class="card panel"><h2>{escape(say["written"])}</h2><dl class="record">{drawn}</dl></section>'


def announcement(snapshot: Snapshot | None, language: Language) -> str:
    """Return what a screen reader hears when a new candle's forecast is there; empty without one."""
    forecast = _spoken(snapshot)
    if snapshot is None or forecast is None or forecast.point is None or forecast.target_time is None:
        return ""
    narrow = (forecast.intervals or {}).get("80")
    if narrow is None:
        return ""
    return words(language)["announce"].format(
        time=when(forecast.target_time, snapshot.now, language),
        close=price(forecast.point.close, language, snapshot.decimals),
        lo=price(narrow.lower, language, snapshot.decimals),
        hi=price(narrow.upper, language, snapshot.decimals),
    )


def foot(language: Language, address: str, *, may_ask: bool) -> str:
    """Return the last line of the page: no advice, and which service it shows and whether it may ask it for work."""
    say = words(language)
    parts = [say["foot"], say["foot_service"].format(address=address)]
    if not may_ask:
        parts.append(say["foot_reading"])
    return f'<p class="foot">{escape(" ".join(parts))}</p>'
