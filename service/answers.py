"""From what the board and the store hold to the shapes of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote

from candlecast import api
from candlecast.candles import Candles, Series, from_datetime64
from candlecast.drift import Calibration
from candlecast.evaluation import MINIMUM_SCORED
from candlecast.forecast import INTERVALS, LEVELS, Forecast
from candlecast.metrics import timed
from candlecast.store.candles import Extent
from candlecast.store.drift import Report
from candlecast.store.evaluations import Recalled
from candlecast.store.gaps import DayCoverage, share_stored
from candlecast.store.ledger import Scored
from candlecast.store.live import WINDOWS, LiveScore
from candlecast.store.models import NAIVE, Score, Version
from candlecast.store.prices import LastPrice
from candlecast.store.runs import RunRow
from service.board import Board, SeriesBoard
from service.champions import Champions, Kind
from service.speaking import Said

SIMULATED = "simulated"
_FRESH_INTERVALS = 3
_LEVEL_NAMES = tuple(f"{level:g}" for level in LEVELS)
_BOUNDS = ("lower", "upper")


@timed("answer")
def latest(board: Board, series: Series, horizon: int) -> api.LatestForecast:
    """Return the newest forecast, or the reason why there is none."""
    state = board.series[series]
    now = state.clock.now()
    said = state.said.get(horizon)
    reason, detail = _silence(state, said, series, horizon, now, board.settings.max_staleness)
    answer: dict[str, Any] = {
        "series": str(series),
        "horizon": horizon,
        "simulated": series.venue == SIMULATED,
        "now": now,
        "clock_speed": state.clock.speed,
        "live_skill": state.skill.get(horizon),
    }
    if reason or said is None:
        return api.LatestForecast(status="abstained", reason=reason, detail=detail, **answer)
    # The candle that closes at the target time takes a moment to arrive; that alone makes nothing stale.
    overdue = now >= said.answer.forecast.target_time + series.interval.delta
    stale = board.away_since is not None or overdue
    return api.LatestForecast(stale=stale, **answer, **_spoken(said))


def _silence(
    state: SeriesBoard, said: Said | None, series: Series, horizon: int, now: datetime, max_staleness: int
) -> tuple[str | None, str | None]:
    if state.newest is None:
        return "no_candles", f"no candles of {series} yet; ask for ingestion or wait for the next one"
    if state.silence is not None:
        return state.silence.code, state.silence.message
    target_time = said.answer.forecast.target_time if said else state.newest + horizon * series.interval.delta
    if now > target_time + max_staleness * series.interval.delta:
        return "stale", f"the newest candle of {series} closed at {state.newest:%Y-%m-%d %H:%M} UTC"
    if said is None:
        return "too_late", f"the newest candle of {series} arrived after its target time; wait for the next one"
    return None, None


def _spoken(said: Said) -> dict[str, Any]:
    entry, baseline = said.answer, said.baseline
    return {
        "status": "baseline" if entry.model_version == NAIVE else "ok",
        "issued_at": entry.issued_at,
        **_forecast(entry.forecast),
        "model_version": entry.model_version,
        "baseline": api.BaselineForecast(
            model_version=baseline.model_version,
            close=baseline.forecast.close,
            intervals=_intervals(baseline.forecast),
        ),
    }


def _forecast(forecast: Forecast) -> dict[str, Any]:
    return {
        "cutoff": forecast.cutoff,
        "target_time": forecast.target_time,
        "last_close": forecast.last_close,
        "point": api.Point(
            open=forecast.open, high=forecast.high, low=forecast.low, close=forecast.close, range=forecast.range
        ),
        "p_up": forecast.p_up,
        "quantiles": dict(zip(_LEVEL_NAMES, forecast.quantiles, strict=True)),
        "intervals": _intervals(forecast),
    }


def _intervals(forecast: Forecast) -> dict[str, api.Bounds]:
    bounds = ((percent, *forecast.interval(percent)) for percent in INTERVALS)
    return {str(percent): api.Bounds(lower=lower, upper=upper) for percent, lower, upper in bounds}


def computed(model_version: str, forecasts: Sequence[Forecast]) -> Iterator[dict[str, Any]]:
    """Yield forecasts of a caller's candles as the fields of `api.ComputedForecast`.

    Not as that shape: to make and check thousands of them takes longer than to forecast.
    """
    status = "baseline" if model_version == NAIVE else "ok"
    for said in forecasts:
        yield {
            "horizon": said.horizon,
            "status": status,
            "cutoff": said.cutoff,
            "target_time": said.target_time,
            "last_close": said.last_close,
            "point": {"open": said.open, "high": said.high, "low": said.low, "close": said.close, "range": said.range},
            "p_up": said.p_up,
            "quantiles": dict(zip(_LEVEL_NAMES, said.quantiles, strict=True)),
            "intervals": {str(one): dict(zip(_BOUNDS, said.interval(one), strict=True)) for one in INTERVALS},
            "model_version": model_version,
        }


def ledger_rows(series: Series, rows: Sequence[Scored | Recalled], last: int) -> api.LedgerRows:
    """Return the newest `last` forecasts of some with what came, whatever their order."""
    found = sorted((_ledger_row(series, row) for row in rows), key=lambda row: row.cutoff)
    more = len(found) > last
    return api.LedgerRows(forecasts=found[-last:], next_end=found[-last].cutoff if more else None)


def _ledger_row(series: Series, scored: Scored | Recalled) -> api.LedgerRow:
    said: dict[str, Any]
    if isinstance(scored, Recalled):
        forecast, model_version = scored.forecast, scored.model_version
        said = {"role": None, "origin": scored.origin, "issued_at": None}
    else:
        forecast, model_version = scored.entry.forecast, scored.entry.model_version
        said = {"role": scored.entry.role, "issued_at": scored.entry.issued_at}
    realised = scored.realised_close
    return api.LedgerRow.model_validate(
        said
        | {
            "series": str(series),
            "horizon": forecast.horizon,
            "model_version": model_version,
            "cutoff": forecast.cutoff,
            "target_time": forecast.target_time,
            "last_close": forecast.last_close,
            "open": forecast.open,
            "high": forecast.high,
            "low": forecast.low,
            "close": forecast.close,
            "p_up": forecast.p_up,
            "intervals": _intervals(forecast),
            "realised_close": realised,
            "error": None if realised is None else forecast.close - realised,
        }
    )


def live_scores(
    series: Series, horizon: int, end: datetime | None, found: Mapping[str, Mapping[str, LiveScore]]
) -> api.LiveScores:
    """Return scores by window and metric, all windows ending at `end`."""
    windows = [
        api.LiveWindow(
            window=window,
            start=end - WINDOWS[window],
            end=end,
            scores={metric: api.LiveScore.model_validate(asdict(score)) for metric, score in scores.items()},
        )
        for window, scores in found.items()
        if end is not None
    ]
    return api.LiveScores(series=str(series), horizon=horizon, minimum=MINIMUM_SCORED, windows=windows)


def candle_columns(series: Series, candles: Candles, *, more: bool) -> api.CandleColumns:
    """Return candles as JSON's columns; `more` when there are older ones."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    columns = candles.columns()
    return api.CandleColumns.model_validate(
        {
            "series": str(series),
            "interval": str(series.interval),
            "gaps": sum(gap.missing for gap in candles.gaps()),
            "next_end": from_datetime64(candles.open_time[0]) if more else None,
            **{name: columns[name].astype("int64" if name == "open_time" else "float64").tolist() for name in names},
        }
    )


def coverage(series: Series, start: datetime, end: datetime, days: Sequence[DayCoverage]) -> api.Coverage:
    """Return how complete a series is, in all and on every day."""
    names = ("expected", "stored", "confirmed", "missing")
    total = {name: sum(getattr(day, name) for day in days) for name in names}
    return api.Coverage(
        series=str(series),
        start=start,
        end=end,
        **total,
        completeness=share_stored(days),
        days=[api.DayCoverage(day=day.day, **{name: getattr(day, name) for name in names}) for day in days],
    )


def latest_price(last: LastPrice, now: datetime) -> api.LatestPrice:
    """Return a price with its age at the wall clock's `now`."""
    return api.LatestPrice(
        symbol=str(last.price.symbol),
        price=last.price.price,
        source=last.price.source,
        priced_at=last.price.priced_at,
        age_seconds=(now - last.price.priced_at).total_seconds(),
        disagrees=last.disagrees,
        disagreements=last.disagreements,
    )


def series_state(extent: Extent, now: datetime, champion: str | None, *, configured: bool) -> api.SeriesState:
    """Return how fresh a series is at the venue's `now`."""
    series = extent.series
    closed = extent.last_open_time + series.interval.delta if extent.last_open_time else None
    age = (now - closed).total_seconds() if closed else None
    return api.SeriesState(
        series=str(series),
        venue=series.venue,
        symbol=str(series.symbol),
        interval=str(series.interval),
        configured=configured,
        simulated=series.venue == SIMULATED,
        candles=extent.candles,
        first_open_time=extent.first_open_time,
        last_close_time=closed,
        age_seconds=age,
        fresh=age is not None and age < _FRESH_INTERVALS * series.interval.seconds,
        champion=champion,
    )


def answering(board: Board) -> list[api.AnsweringModel]:
    """Return who answers for each venue and interval of the active series, and who is refused."""
    kinds = dict.fromkeys((series.venue, series.interval) for series in board.series)
    return [_answering(board, kind) for kind in kinds]


def _answering(board: Board, kind: Kind) -> api.AnsweringModel:
    champion, challenger = board.champions.of(kind), board.challengers.of(kind)
    refusal = board.champions.refusals.get(kind)
    return api.AnsweringModel(
        venue=kind[0],
        interval=str(kind[1]),
        model_version=champion.id if champion else NAIVE,
        refused=refusal.promotion.model_version if refusal else None,
        reason=refusal.reason if refusal else None,
        refused_at=refusal.refused_at if refusal else None,
        challenger=challenger.id if challenger else None,
    )


def model_version(version: Version, scores: Sequence[Score], champions: Champions) -> api.ModelVersion:
    """Return a model version with its hold-out scores, and why it does not answer where it should."""
    return api.ModelVersion(
        id=version.id,
        kind=version.kind,
        venue=version.venue,
        interval=str(version.interval) if version.interval else None,
        created_at=version.created_at,
        champion=version.promoted_at is not None,
        promoted_at=version.promoted_at,
        refused=champions.reason(version.id) if version.promoted_at else None,
        decision=dict(version.decision) if version.decision else None,
        scores=[_score(score) for score in scores],
        manifest=dict(version.manifest),
        card=f"/v1/models/{quote(version.id, safe='')}/card",
    )


def evaluation(version: Version, scores: Sequence[Score]) -> api.Evaluation:
    """Return how a model version scored on one series."""
    return api.Evaluation(
        model_version=version.id,
        created_at=version.created_at,
        champion=version.promoted_at is not None,
        scores=[_score(score) for score in scores],
    )


def _score(score: Score) -> api.Score:
    return api.Score(
        series=str(score.series),
        horizon=score.horizon,
        forecaster=score.forecaster,
        metric=score.metric,
        value=score.value,
        count=score.count,
        start=score.start,
        end=score.end,
    )


def drift_report(report: Report) -> api.DriftReport:
    """Return a drift report, the columns that moved farthest first."""
    columns = [
        api.ColumnDrift(name=name, score=one.score, threshold=one.threshold, drifted=one.drifted)
        for name, one in report.summary.columns.items()
    ]
    columns.sort(key=lambda one: -(one.score or 0) / one.threshold)
    windows = {
        name: api.CompareWindow(start=window.start, end=window.end, rows=window.rows)
        for name, window in (("reference", report.reference), ("current", report.current))
    }
    return api.DriftReport(
        id=report.id,
        venue=report.venue,
        interval=str(report.interval),
        model_version=report.model_version,
        created_at=report.created_at,
        **windows,
        method=report.summary.method,
        share=report.summary.share,
        drifted=report.summary.drifted,
        calibration=_drift_calibration(report.summary.calibration),
        columns=columns,
        report=f"/v1/drift/{report.id}/report" if report.has_page else None,
    )


def _drift_calibration(known: Calibration | None) -> api.DriftCalibration | None:
    if known is None:
        return None
    return api.DriftCalibration(
        column_rate=known.column_rate,
        verdict_rate=known.verdict_rate,
        null_windows=known.null_windows,
        start=known.start,
        end=known.end,
    )


def run(row: RunRow, now: datetime) -> api.Run:
    """Return a run, with how long it took or has taken at the wall clock's `now`, and its ETA."""
    elapsed = ((row.finished_at or now) - row.started_at).total_seconds() if row.started_at else None
    rate = row.done / elapsed if row.done and elapsed else None
    return api.Run.model_validate(
        {
            "id": row.id,
            "request_id": row.request_id,
            "job": row.job,
            "state": row.state,
            "requested_by": row.requested_by,
            "requested_at": row.requested_at,
            "parameters": dict(row.parameters),
            "reason": row.reason,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "elapsed_seconds": elapsed,
            "done": row.done,
            "failed": row.failed,
            "target": row.target,
            "rows": row.rows,
            "message": row.message,
            "rate": rate,
            "eta_seconds": _eta(row, rate),
            "exit_code": row.exit_code,
            "error_code": row.error_code,
            "error": row.error,
            "log": row.log,
        }
    )


def runs(rows: Sequence[RunRow], now: datetime, *, more: bool) -> api.Runs:
    """Return a page of waiting requests and runs; `more` when there are others behind it."""
    last = rows[-1] if more else None
    place = None if last is None else f"request-{last.request_id}" if last.id is None else f"run-{last.id}"
    return api.Runs(runs=[run(row, now) for row in rows], next_before=place)


def _eta(row: RunRow, rate: float | None) -> float | None:
    if row.state != "running" or row.target is None or rate is None:
        return None
    return max(0.0, (row.target - row.done) / rate)
