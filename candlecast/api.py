"""The shapes of the HTTP API, read by the service that answers and by the screen that asks. All times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, Strict, WithJsonSchema

Status = Literal["ok", "baseline", "abstained"]
JobName = Literal["ingestion", "training", "drift"]
ScheduledJob = Literal["ingestion", "training", "drift", "retention"]
RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Calendar = Literal["24/7", "weekdays"]
Origin = Literal["live", "out_of_sample", "in_sample"]

_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(value: object) -> object:
    """Read epoch milliseconds; pydantic reads the rest, but would take small numbers for seconds."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | datetime):
        raise ValueError("write a time like 2025-09-01T00:00:00Z, or epoch milliseconds")
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("write a time like 2025-09-01T00:00:00Z, or epoch milliseconds")
    if not isinstance(value, int):
        return value
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise ValueError("this time is after 9999; give epoch milliseconds") from None


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]}),
]
"""A time with its zone in RFC 3339, or epoch milliseconds."""
WholeNumber = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Numbers = Annotated[list[Number], FailFast()]
SeriesName = Annotated[str, Field(max_length=100)]


class Shape(BaseModel):
    """Base of all shapes: unknown fields in a request are refused, docstrings become the API's documentation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null")


class Problem(Shape):
    """An error, as RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    """Where the service explains this error, below its own address."""
    title: str
    status: int
    detail: str
    """A sentence that names the thing and the way out."""
    code: str
    """The machine's word for the error, such as `unknown_series`."""
    request_id: str | None = None
    """The request's id, which is also in the service's log."""


class Bounds(Shape):
    """A central interval of the close."""

    lower: float
    upper: float


class Point(Shape):
    """The predicted candle; open, high, low and range are null where the forecaster does not give them."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float
    range: float | None = None


class Skill(Shape):
    """How much smaller the mean absolute error was than that of "no change": 1 - MAE / MAE of no change."""

    scored: int
    """Forecasts whose realised close is known."""
    minimum: int
    """Fewer scored than this is too early to judge; then the figures are null."""
    skill: float | None = None
    lower: float | None = None
    """Lower end of the 95 % confidence interval."""
    upper: float | None = None
    verdict: Literal["too_early", "better", "worse", "not_distinguishable"]


class BaselineForecast(Shape):
    """What the naive forecaster said at the same cutoff."""

    model_version: str
    close: float
    intervals: dict[str, Bounds]


class LatestForecast(Shape):
    """The newest forecast of one series and horizon, or the reason why there is none."""

    series: str
    horizon: int
    status: Status
    """`ok`; `baseline` (no champion yet, the naive forecaster answers); `abstained` (see `reason`)."""
    reason: str | None = None
    """Why there is no forecast: `no_candles`, `not_enough_candles`, `gap_in_window`, `stale` or `too_late`."""
    detail: str | None = None
    """The reason as a sentence."""
    stale: bool = False
    """The database cannot be reached, or the target time is past by an interval: this is what was last known."""
    simulated: bool
    """The candles come from a seeded random market, not from an exchange."""
    now: datetime
    """The venue's clock when this answer was made ready."""
    clock_speed: float
    """Venue seconds per wall second; 1 for live venues."""
    cutoff: datetime | None = None
    target_time: datetime | None = None
    issued_at: datetime | None = None
    last_close: float | None = None
    point: Point | None = None
    p_up: float | None = None
    quantiles: dict[str, float] | None = None
    """Quantiles of the close by probability level."""
    intervals: dict[str, Bounds] | None = None
    """Central intervals of the close by per cent: `80` and `95`."""
    model_version: str | None = None
    baseline: BaselineForecast | None = None
    live_skill: Skill | None = None
    """Over the 30 days that end with the newest candle, against the baseline's own forecasts."""


class LatestForecasts(Shape):
    """The newest forecasts that were asked for."""

    forecasts: list[LatestForecast]


class Contribution(Shape):
    """What one feature adds to the logit of the probability of a rise."""

    feature: str
    words: str
    """What the feature measures."""
    value: float | None
    """The feature's value, free of the price's scale; null where it was not known."""
    logit: float
    """Above 0 it speaks for a rise, below 0 for a fall."""


class Explanation(Shape):
    """What led to the newest forecast of one series and horizon."""

    series: str
    horizon: int
    status: Status
    reason: str | None = None
    detail: str | None = None
    cutoff: datetime | None = None
    target_time: datetime | None = None
    model_version: str | None = None
    p_up: float | None = None
    """As the ledger has it; null from the baseline, which has no opinion."""
    start: float | None = None
    """The logit without any feature: it and all contributions add up to the logit of `p_up`."""
    contributions: list[Contribution] = []
    """Those that are not 0, the largest first."""
    reproduced: bool | None = None
    """Whether what is known now gives exactly what was written down; candles that came later may change it."""
    summary: list[str] = []
    """The same in sentences."""


class CallerCandles(Shape):
    """Columns of equal length, oldest first."""

    open_time: Annotated[list[WholeNumber], FailFast()]
    """Open times in epoch milliseconds, UTC."""
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers


class ForecastOptions(Shape):
    """What to forecast from a caller's own candles."""

    interval: str = Field(max_length=10)
    """Such as `15m`."""
    series: SeriesName | None = None
    """Whose candles they are, where that is known: `binance:BTC-USDT:15m`. The model may know the symbol."""
    horizons: list[Annotated[WholeNumber, Field(ge=1)]] | None = Field(default=None, min_length=1, max_length=100)
    """Horizons to forecast; all that are configured when left out."""
    last: WholeNumber = Field(default=1, ge=1, le=5000)
    """Forecast from each of the last N cutoffs."""
    calendar: Calendar = "24/7"
    """`weekdays`, for daily candles: a missing day is one on which the market was closed, not a gap."""


class ForecastRequest(ForecastOptions):
    """A caller's own candles."""

    candles: CallerCandles


class ComputedForecast(Shape):
    """A forecast of a caller's own candles. It is not written into the ledger."""

    horizon: int
    status: Literal["ok", "baseline"]
    cutoff: datetime
    target_time: datetime
    last_close: float
    point: Point
    p_up: float | None
    quantiles: dict[str, float]
    intervals: dict[str, Bounds]
    model_version: str


class ComputedForecasts(Shape):
    """Forecasts of a caller's own candles, oldest cutoff first."""

    interval: str
    series: str | None
    market: bool = False
    """Whether the model saw, beside the newest of these candles, what the service has stored of the same moment: the
    other symbols, and the shorter candles inside. Only where `series` names one that the service serves."""
    forecasts: list[ComputedForecast]


class LedgerRow(Shape):
    """One forecast with what came, where that is known. Only those of `origin` live are a track record."""

    series: str
    horizon: int
    model_version: str
    role: Literal["champion", "challenger", "baseline"] | None
    """In which role it was said; null where it was not said live."""
    origin: Origin = "live"
    """`live`: written into the ledger before the target; `out_of_sample`: what a model that was fitted before the
    cutoff would have said; `in_sample`: the same by a model that had learned from what came."""
    cutoff: datetime
    target_time: datetime
    issued_at: datetime | None
    """When it was said, by the venue's clock; null where it was not said live."""
    last_close: float
    open: float | None = None
    """With high and low the rest of the predicted candle, where the forecaster gave one."""
    high: float | None = None
    low: float | None = None
    close: float
    p_up: float | None
    intervals: dict[str, Bounds]
    realised_close: float | None
    error: float | None
    """close - realised_close"""


class LedgerRows(Shape):
    """Forecasts with what came, oldest cutoff first."""

    forecasts: list[LedgerRow]
    next_end: datetime | None = None
    """Ask again with this as `end` for those before; null where there are none."""


class LiveScore(Shape):
    """One score of what was said live."""

    value: float | None
    """Null where nothing was scored, or the score is not defined."""
    lower: float | None
    """Lower end of the 95 % confidence interval; null with fewer than `minimum` forecasts."""
    upper: float | None
    count: int
    """How many forecasts it is about."""


class LiveWindow(Shape):
    """Scores of the champion's forecasts whose target lies in start < target_time <= end."""

    window: str
    """`1h`, `24h`, `7d` or `30d`"""
    start: datetime
    end: datetime
    """Close time of the newest candle."""
    scores: dict[str, LiveScore]
    """`mae` and `pinball` in the quote currency; `mape`, `coverage_80`, `coverage_95`, `accuracy` as shares; `brier`;
    `skill` and `pinball_skill`, which are 1 - the ratio to the baseline's own forecasts at the same cutoffs."""


class LiveScores(Shape):
    """How the forecasts of one series and horizon have done since they were written down."""

    series: str
    horizon: int
    minimum: int
    """With fewer forecasts a score has no confidence interval."""
    windows: list[LiveWindow]


class CandleColumns(Shape):
    """Candles as columns of equal length, oldest first; open times in epoch milliseconds, UTC."""

    series: str
    interval: str
    open_time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    gaps: int
    """How many candles are missing between the first and the last."""
    next_end: datetime | None = None
    """Ask again with this as `end` for those before; null where there are none."""


class DayCoverage(Shape):
    """The candles of one UTC day."""

    day: date
    expected: int
    stored: int
    confirmed: int
    """Missing at the venue itself, as it said when asked."""
    missing: int
    """Neither stored nor known to be missing at the venue."""


class Coverage(Shape):
    """How complete a series is with start <= open_time < end: in all, and on every day."""

    series: str
    start: datetime
    end: datetime
    expected: int
    stored: int
    confirmed: int
    missing: int
    completeness: float | None
    """Stored candles divided by those that the venue has; null where it has none."""
    days: list[DayCoverage]


class LatestPrice(Shape):
    """What a source that gives no candles last said a symbol costs: a cross-check, never a training candle."""

    symbol: str
    price: float
    source: str
    priced_at: datetime
    age_seconds: float
    disagrees: bool | None
    """Whether it was far from the newest close; null where no close was of about the same time."""
    disagreements: int
    """How many prices of this source have been far from the close so far."""


class LatestPrices(Shape):
    """The newest price of every symbol and source."""

    prices: list[LatestPrice]


class SeriesState(Shape):
    """One series that is configured or stored, and how fresh it is."""

    series: str
    venue: str
    symbol: str
    interval: str
    configured: bool
    simulated: bool
    candles: int
    first_open_time: datetime | None
    last_close_time: datetime | None
    age_seconds: float | None
    """The venue's now minus the close time of the newest candle."""
    fresh: bool
    """The newest candle closed less than three intervals ago."""
    champion: str | None


class SeriesList(Shape):
    """All series: those that are configured first, in the order of the settings."""

    series: list[SeriesState]
    horizons: list[int]


class Score(Shape):
    """One number of an evaluation: `metric` of `forecaster` over `count` forecasts with start <= cutoff < end."""

    series: str
    horizon: int
    forecaster: str
    metric: str
    value: float | None
    count: int
    start: datetime
    end: datetime


class ModelVersion(Shape):
    """A trained artefact in the registry."""

    id: str
    kind: str
    """`xgboost`, or `naive` for the baseline."""
    venue: str | None
    interval: str | None
    created_at: datetime
    champion: bool
    promoted_at: datetime | None
    refused: str | None = None
    """Why it does not answer although it is the champion: the reason of the worker that was asked."""
    decision: dict[str, Any] | None
    """Whether it was promoted and why, with the numbers."""
    scores: list[Score]
    """Hold-out scores: one row per series, horizon, forecaster and metric."""
    manifest: dict[str, Any]
    card: str = ""
    """Where the model card is."""


class ModelVersions(Shape):
    """Model versions, newest first."""

    models: list[ModelVersion]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""


class Trial(Shape):
    """Settings that a training tried before it fitted a version."""

    number: int
    """0 is the recipe as it is."""
    parameters: dict[str, float]
    """Settings in place of the recipe's."""
    seed: int
    scores: dict[str, float]
    """Over the newest fifth of what came before the hold-out, means over series and horizons; the lowest
    `pinball_ratio`, which is to the baseline, is chosen."""
    seconds: float
    chosen: bool
    """The version was fitted with these settings."""


class Trials(Shape):
    """What a training tried, in order; empty where it tried nothing."""

    model_version: str
    trials: list[Trial]


class Promotion(Shape):
    """Why a version becomes champion by hand."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")
    """A sentence for those who read it later."""


class Evaluation(Shape):
    """How one model version scored on a series, each forecaster on the same cutoffs."""

    model_version: str
    created_at: datetime
    champion: bool
    scores: list[Score]


class Evaluations(Shape):
    """How a series was forecast: live by whoever answered, and on hold-outs by each model version, newest first."""

    series: str
    live: dict[int, Skill]
    """By horizon, of the forecasts that were answered and whose close is known."""
    evaluations: list[Evaluation]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""


class CompareWindow(Shape):
    """Rows whose cutoffs lie in start < cutoff <= end."""

    start: datetime
    end: datetime
    rows: int
    """How many were compared; the larger windows are sampled."""


class ColumnDrift(Shape):
    """How far one feature, or one number of the forecasts, has moved."""

    name: str
    score: float | None
    """Distance between both windows by the report's method; null where one of them holds no value."""
    threshold: float
    """From here on the column has drifted: farther than windows of the past lay from each other."""
    drifted: bool


class DriftCalibration(Shape):
    """How often the thresholds of a report alarm by chance, found on null windows: pairs of windows out of the past."""

    column_rate: float
    """Share of null windows in which one column passes its threshold."""
    verdict_rate: float
    """Share of null windows in which so many columns did that the whole would have drifted."""
    null_windows: int
    """How many there were, each a day later than the one before; a few days where the current window is longer."""
    start: datetime
    end: datetime
    """The past that they lie in."""


class DriftReport(Shape):
    """The recent window compared with the reference: the champion's training, or simply what came before."""

    id: int
    venue: str
    interval: str
    model_version: str | None
    """The champion whose training window is the reference; null where there was none."""
    created_at: datetime
    reference: CompareWindow
    current: CompareWindow
    method: str
    share: float
    """Share of the columns that drifted."""
    drifted: bool
    calibration: DriftCalibration | None = None
    """Null where too little was stored for null windows: then the thresholds are a rule of thumb."""
    columns: list[ColumnDrift]
    """The farthest moved first, in units of their thresholds."""
    report: str | None
    """Where the page for people is; null where none was made or kept."""


class DriftReports(Shape):
    """Drift reports, newest first."""

    reports: list[DriftReport]
    next_before: int | None = None
    """Ask again with this as `before` for those before; null where there are none."""


class RunRequest(Shape):
    """Ask for a run."""

    job: JobName
    series: list[SeriesName] | None = Field(default=None, max_length=500)
    """Only these series; all that are active when left out. Ingestion may name new ones."""
    start: Moment | None = None
    """Ingestion: from here on, instead of as far back as the settings say."""
    end: Moment | None = None
    """Ingestion: up to here, instead of up to now."""
    again: Annotated[bool, Strict()] = False
    """Ingestion: ask for what is stored and for confirmed gaps too, and keep what the venue says now."""


class LogLine(Shape):
    """One line that a run logged."""

    at: datetime
    level: str
    message: str


class Run(Shape):
    """One execution of a job, or the request for one that has not started."""

    id: int | None
    """Number of the run; null while the request waits."""
    request_id: int | None
    job: str
    state: RunState
    requested_by: str | None
    requested_at: datetime | None
    parameters: dict[str, Any]
    reason: str | None = None
    """Of a training that the schedule or the retraining trigger began: what was decided about each model, and why."""
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_seconds: float | None
    """How long it took, or has taken until now."""
    done: int
    failed: int
    target: int | None
    """How many steps the run has; null until it knows."""
    rows: int
    """Rows written."""
    message: str | None
    """What it is doing, or its summary line."""
    rate: float | None
    """Steps done per second; null until the first is done."""
    eta_seconds: float | None
    """When it will be done at this rate; null where nobody can know."""
    exit_code: int | None
    error_code: str | None
    error: str | None
    log: list[LogLine] = []
    """The newest lines that it logged, oldest first: five in a list of runs, of one run the newest 200."""


class Runs(Shape):
    """Runs and waiting requests, newest first."""

    runs: list[Run]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""


class VenueState(Shape):
    """A venue's clock."""

    venue: str
    now: datetime
    clock_speed: float
    simulated: bool


class AnsweringModel(Shape):
    """Who forecasts for one venue and interval, in the worker that was asked."""

    venue: str
    interval: str
    model_version: str
    """The one that answers; `naive` is the baseline."""
    refused: str | None = None
    """The champion, where it does not load or makes no forecast, so that another one answers in its place."""
    reason: str | None = None
    """Why it is refused. It is tried again when it is promoted anew."""
    refused_at: datetime | None = None
    challenger: str | None = None
    """The one that forecasts in the champion's shadow: written down as `challenger`, never served."""


class ServiceStatus(Shape):
    """The state of the whole product in one answer."""

    version: str
    database: Literal["ok", "away"]
    venues: list[VenueState]
    series: int
    fresh_series: int
    champions: int
    ledger_rows: int
    ledger_intact: bool | None
    """Whether every row's hash follows from the row before it; null until the first check."""
    ledger_checked_at: datetime | None
    ledger_broken_at: str | None
    """The first row that does not hold, as `series#position`."""
    answering: list[AnsweringModel] = []
