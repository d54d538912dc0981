"""How good what was said live has been: scores over recent windows, computed inside the database.

What counts is the champion's row of each cutoff (or the challenger's, where that is asked for), the newest where two
spoke, beside the baseline's own row and the close that came. Every score is a ratio of two means, so one formula gives
all confidence intervals: the delta method with the variance of Newey and West (1987, Econometrica 55), lags as in
`evaluation.newey_west_variance`. With S(t) the running sum of the deviations, which ends at zero, it needs no products
of lagged rows: the sum of squares of S(t) - S(t - lags - 1) over all t, those beyond the end included, divided by
lags + 1, is the sum of the autocovariances in Bartlett's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, TextClause, text

from candlecast.candles import Series
from candlecast.evaluation import MINIMUM_SCORED
from candlecast.forecast import INTERVALS, LEVELS
from candlecast.store.candles import series_ids

WINDOWS: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}

HEADLINE = "30d"
"""The window of the skill that stands beside every answer."""

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class LiveScore:
    """A score over `count` forecasts, with its 95 % interval; None where it is not defined or it is too early."""

    value: float | None
    lower: float | None
    upper: float | None
    count: int


NONE_YET = LiveScore(None, None, None, 0)


def _pinball(quantiles: str) -> str:
    errors = ((level, f"(realised - {quantiles}[{place}])") for place, level in enumerate(LEVELS, start=1))
    losses = (f"greatest({level} * {error}, {level - 1} * {error})" for level, error in errors)
    return f"({' + '.join(losses)}) / {len(LEVELS)}"


def _covered(percent: int) -> str:
    lower, upper = (LEVELS.index(level) + 1 for level in INTERVALS[percent])
    return f"(realised BETWEEN quantiles[{lower}] AND quantiles[{upper}])::int"


_TOLD = "CASE WHEN p_up IS NOT NULL AND realised <> last_close THEN 1 END"

_METRICS: Mapping[str, tuple[str, str]] = {
    "mae": ("abs(close - realised)", "1"),
    "mape": ("abs(close - realised) / realised", "1"),
    "skill": ("abs(close - realised)", "abs(baseline_close - realised)"),
    "pinball": (_pinball("quantiles"), "1"),
    "pinball_skill": (_pinball("quantiles"), _pinball("baseline_quantiles")),
    **{f"coverage_{percent}": (_covered(percent), "1") for percent in INTERVALS},
    "brier": ("(p_up - (realised > last_close)::int) ^ 2", _TOLD),
    "accuracy": ("((p_up > 0.5) = (realised > last_close))::int", _TOLD),
}
_SKILLS = ("skill", "pinball_skill")

METRICS = tuple(_METRICS)
"""Names of the scores.

`mae` and `pinball` are in the quote currency; `mape`, the coverages and `accuracy` are shares. `skill` and
`pinball_skill` are 1 - the ratio to the baseline's own rows. `brier` and `accuracy` are over forecasts with a p_up
whose close changed.
"""


def _spoken(series: str, step: str, end: str) -> str:
    """Return the query of what was said and came, for a series, its interval and the end of its windows."""
    start, ahead = f"{end} - CAST(:longest AS interval)", f":horizon * {step}"
    # The clauses on the candles' time repeat what those on the cutoff say, so that only candles of the window are read.
    return f"""
    SELECT DISTINCT ON (f.series_id, f.cutoff) f.series_id, f.target_time, f.last_close, f.close, f.p_up, f.quantiles,
           b.close AS baseline_close, b.quantiles AS baseline_quantiles, c.close AS realised
    FROM forecast f
    JOIN forecast b ON (b.series_id, b.cutoff, b.horizon, b.role) = (f.series_id, f.cutoff, f.horizon, 'baseline')
    JOIN candle c ON (c.series_id, c.open_time) = (f.series_id, f.target_time - {step})
    WHERE f.series_id = {series} AND f.horizon = :horizon AND f.role = :role
      AND f.cutoff > {start} - {ahead} AND f.cutoff <= {end} - {ahead}
      AND c.open_time > {start} - {step} AND c.open_time < {end}
    ORDER BY f.series_id, f.cutoff, f.position DESC
    """  # noqa: S608  # texts of this module only


_SPOKEN = _spoken("ANY(:series)", "CAST(:step AS interval)", "CAST(:end AS timestamptz)")

# From `losses` (name, at, loss, unit) to one row per name; rows without a loss or a unit do not count.
_ESTIMATES = """
ratios AS (
    SELECT name, at, loss, unit, sum(loss) OVER of / nullif(sum(unit) OVER of, 0) AS ratio,
           nullif(avg(unit) OVER of, 0) AS mean_unit, count(*) OVER of AS count
    FROM losses WHERE loss IS NOT NULL AND unit IS NOT NULL
    WINDOW of AS (PARTITION BY name)
), deviations AS (
    SELECT name, ratio, count, row_number() OVER past AS place,
           sum((loss - ratio * unit) / mean_unit) OVER past AS total,
           least(greatest(4 * (:horizon - 1), floor(4 * power(count / 100e0::float8, 2e0::float8 / 9))::int), count - 1)
               ::int AS lags
    FROM ratios
    WINDOW past AS (PARTITION BY name ORDER BY at)
), blocks AS (
    SELECT *, total - coalesce(lag(total, lags + 1) OVER (PARTITION BY name ORDER BY place), 0) AS block
    FROM deviations
)
SELECT name, count, ratio, sqrt(
    (sum(block * block) + coalesce(sum(total * total) FILTER (WHERE place BETWEEN count - lags AND count - 1), 0))
    / (lags + 1)
) / count AS error
FROM blocks GROUP BY name, count, ratio, lags
"""


def _by_window(metrics: Sequence[str]) -> TextClause:
    chosen = {name: _METRICS[name] for name in metrics}
    columns = ", ".join(
        f"({loss})::float8 AS {name}_loss, ({unit})::float8 AS {name}_unit" for name, (loss, unit) in chosen.items()
    )
    rows = ", ".join(f"('{name}', {name}_loss, {name}_unit)" for name in chosen)
    return text(
        f"""
        WITH spoken AS MATERIALIZED ({_SPOKEN}), scored AS MATERIALIZED (SELECT target_time, {columns} FROM spoken),
        losses AS (
            SELECT w.name || ' ' || m.name AS name, s.target_time AS at, m.loss, m.unit
            FROM scored s
            JOIN unnest(CAST(:windows AS text[]), CAST(:lengths AS interval[])) AS w (name, length)
                ON s.target_time > CAST(:end AS timestamptz) - w.length
            CROSS JOIN LATERAL (VALUES {rows}) AS m (name, loss, unit)
        ), {_ESTIMATES}
        """  # noqa: S608  # texts of this module only
    )


_ALL = _by_window(METRICS)

# Symbols of one market move together: their mean by cutoff counts a shared shock once.
_POOLED = text(
    f"""
    WITH spoken AS MATERIALIZED ({_SPOKEN}), losses AS (
        SELECT 'skill' AS name, target_time AS at, avg(abs(close - realised) / last_close) AS loss,
               avg(abs(baseline_close - realised) / last_close) AS unit
        FROM spoken GROUP BY target_time
    ), {_ESTIMATES}
    """  # noqa: S608  # texts of this module only
)


# Every series on its own, with its own interval and end.
_EACH = text(
    f"""
    WITH losses AS MATERIALIZED (
        SELECT said.series_id::text AS name, said.target_time AS at, abs(said.close - said.realised) AS loss,
               abs(said.baseline_close - said.realised) AS unit
        FROM unnest(CAST(:series AS int[]), CAST(:steps AS interval[]), CAST(:ends AS timestamptz[]))
            AS asked (series_id, step, ends_at)
        CROSS JOIN LATERAL ({_spoken("asked.series_id", "asked.step", "asked.ends_at")}) said
    ), {_ESTIMATES}
    """  # noqa: S608  # texts of this module only
)


def scores(
    connection: Connection, series: Series, horizon: int, end: datetime, role: str = "champion"
) -> dict[str, dict[str, LiveScore]]:
    """Return by window and metric how forecasts of one series scored whose target lies in (end - window, end]."""
    found = _read(connection, _ALL, [series], horizon, end, WINDOWS, role)
    return {window: {metric: found.get(f"{window} {metric}", NONE_YET) for metric in METRICS} for window in WINDOWS}


def headline(connection: Connection, series: Series, horizon: int, end: datetime) -> LiveScore:
    """Return the skill against the baseline over the `HEADLINE` window that ends at `end`."""
    return headlines(connection, {series: end}, horizon)[series]


def headlines(connection: Connection, ends: Mapping[Series, datetime], horizon: int) -> dict[Series, LiveScore]:
    """Return the headline of each series over the window that ends at its own `end`, by one query for all of them."""
    known = series_ids(connection)
    asked = [series for series in ends if series in known]
    values = {
        "series": [known[series] for series in asked],
        "steps": [series.interval.delta for series in asked],
        "ends": [ends[series] for series in asked],
        "horizon": horizon,
        "longest": WINDOWS[HEADLINE],
        "role": "champion",
    }
    found = {int(row.name): _score("skill", *row[1:]) for row in connection.execute(_EACH, values)} if asked else {}
    return {series: found.get(known.get(series, 0), NONE_YET) for series in ends}


def pooled_skill(
    connection: Connection, series: Sequence[Series], horizon: int, end: datetime, window: timedelta
) -> LiveScore:
    """Return the skill of several series of one interval together, over targets in (end - window, end].

    Errors are shares of the last close, and their mean over the series counts as one per cutoff.
    """
    return _read(connection, _POOLED, series, horizon, end, {"pooled": window}).get("skill", NONE_YET)


def _read(
    connection: Connection,
    query: TextClause,
    series: Sequence[Series],
    horizon: int,
    end: datetime,
    windows: Mapping[str, timedelta],
    role: str = "champion",
) -> dict[str, LiveScore]:
    known = series_ids(connection)
    values = {
        "series": [known[one] for one in series if one in known],
        "horizon": horizon,
        "step": series[0].interval.delta,
        "longest": max(windows.values()),
        "end": end,
        "windows": list(windows),
        "lengths": list(windows.values()),
        "role": role,
    }
    return {row.name: _score(*row) for row in connection.execute(query, values)}


def _score(name: str, count: int, ratio: float | None, error: float | None) -> LiveScore:
    if ratio is None or error is None:
        return LiveScore(None, None, None, count)
    value = 1 - ratio if name.endswith(_SKILLS) else ratio
    if count < MINIMUM_SCORED:
        return LiveScore(value, None, None, count)
    return LiveScore(value, value - _NORMAL_95 * error, value + _NORMAL_95 * error, count)
