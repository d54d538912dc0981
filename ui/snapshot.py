"""What the screen knows at one moment: everything it shows, asked from the service in one go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from candlecast.api import (
    CandleColumns,
    LatestForecast,
    LatestPrice,
    LedgerRow,
    ModelVersion,
    SeriesList,
    SeriesState,
    ServiceStatus,
)
from candlecast.candles import Interval, Series, from_ms
from candlecast.client import ApiError, Client
from ui.format import shared_decimals

PAST_CANDLES = 60
_AWAY = 503
_WITHOUT_PRICES = ("replay", "simulated")


@dataclass(frozen=True, slots=True)
class History:
    """What changes only when a candle has closed."""

    candles: CandleColumns | None = None
    ledger: tuple[LedgerRow, ...] = ()
    hindsight: tuple[LedgerRow, ...] = ()
    challenger: ModelVersion | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent look at the service. `taken_at` is the wall clock, `now` the venue's."""

    taken_at: datetime
    now: datetime
    speed: float
    listing: SeriesList
    status: ServiceStatus | None = None
    series: str | None = None
    horizon: int = 1
    forecasts: tuple[LatestForecast, ...] = ()
    candles: CandleColumns | None = None
    ledger: tuple[LedgerRow, ...] = ()
    """What was said live, the oldest first."""
    hindsight: tuple[LedgerRow, ...] = ()
    """What a model would have said about candles before that."""
    cross_check: LatestPrice | None = None
    """What a source without candles says the symbol costs."""
    challenger: ModelVersion | None = None
    """The newest trained model version, where the baseline answers."""

    live: bool = True
    """Whether the candles are a venue's; a reader's own ones have no clock."""

    @property
    def forecast(self) -> LatestForecast | None:
        """The forecast of the chosen horizon."""
        return next((f for f in self.forecasts if f.horizon == self.horizon), None)

    @property
    def state(self) -> SeriesState | None:
        """How fresh the chosen series is."""
        return next((s for s in self.listing.series if s.series == self.series), None)

    @property
    def simulated(self) -> bool:
        """Whether the chosen series comes from a random market."""
        state, forecast = self.state, self.forecast
        return bool((state and state.simulated) or (forecast and forecast.simulated))

    @property
    def baseline(self) -> bool:
        """Whether the naive forecaster answers."""
        return self.forecast is not None and self.forecast.status == "baseline"

    @property
    def abstained(self) -> bool:
        """Whether nothing is said."""
        return self.forecast is None or self.forecast.status == "abstained"

    @property
    def decimals(self) -> int:
        """How many decimals this series' prices have, as far as its candles show."""
        return shared_decimals(self.candles.close) if self.candles and self.candles.close else 2

    @property
    def zone(self) -> tzinfo:
        """The reader's time zone: that of `now`."""
        return self.now.tzinfo or UTC

    @property
    def parsed(self) -> Series | None:
        """The chosen series as its parts."""
        return Series.parse(self.series) if self.series else None

    @property
    def newest_close(self) -> datetime | None:
        """Close time of the newest candle."""
        if self.state and self.state.last_close_time:
            return self.state.last_close_time
        return self.forecast.cutoff if self.forecast else None

    @property
    def content(self) -> tuple[object, ...]:
        """What decides how the page looks; the clock is no part of it."""
        return (
            self.series,
            self.horizon,
            tuple(f.model_dump_json(exclude={"now"}) for f in self.forecasts),
            self.state.model_dump_json(exclude={"age_seconds"}) if self.state else None,
            self.status.database if self.status else None,
            len(self.ledger),
            len(self.hindsight),
            self.challenger.id if self.challenger else None,
            self.cross_check.model_dump_json(exclude={"age_seconds"}) if self.cross_check else None,
        )


def pick(listing: SeriesList, wanted: str | None) -> str | None:
    """Return the wanted series where it exists, else one like it, else the first that is configured."""
    names = [state.series for state in listing.series]
    if wanted in names or not names:
        return wanted if wanted in names else None
    if wanted:
        venue_symbol = wanted.rsplit(":", 1)[0] + ":"
        alike = [name for name in names if name.startswith(venue_symbol)]
        if alike:
            return alike[0]
    filled = [s for s in listing.series if s.configured and s.candles]
    earned = [s.series for s in filled if s.champion]
    return next(iter(earned), filled[0].series if filled else names[0])


def look(client: Client, series: str | None, horizon: int | None, before: Snapshot | None) -> Snapshot:
    """Ask for everything the page shows; candles and ledger only when `before` is out of date. Raises client errors."""
    listing = _listing(client, before)
    status = _status(client)
    chosen = pick(listing, series)
    wall = datetime.now(UTC)
    if chosen is None:
        return Snapshot(wall, wall, 1.0, listing, status)
    forecasts = tuple(sorted(client.latest_forecasts(chosen).forecasts, key=lambda f: f.horizon))
    wanted = _horizon(horizon, [f.horizon for f in forecasts] or listing.horizons)
    now, speed = _clock(chosen, status, forecasts, wall)
    bare = Snapshot(
        wall, now, speed, listing, status, chosen, wanted, forecasts, cross_check=_cross_check(client, chosen)
    )
    seen = _kept(before) if before is not None and _same_candles(before, bare) else _history(client, bare, before)
    return replace(bare, candles=seen.candles, ledger=seen.ledger, hindsight=seen.hindsight, challenger=seen.challenger)


def _kept(before: Snapshot) -> History:
    return History(before.candles, before.ledger, before.hindsight, before.challenger)


def _listing(client: Client, before: Snapshot | None) -> SeriesList:
    try:
        return client.series()
    except ApiError as error:
        # The database is away; forecasts go on without it, so the page does too.
        if error.status != _AWAY or before is None:
            raise
        return before.listing


def _status(client: Client) -> ServiceStatus | None:
    try:
        return client.status()
    except ApiError:
        return None  # the chips can be missing; the forecast cannot


def _cross_check(client: Client, series: str) -> LatestPrice | None:
    """Return the newest price of the series' symbol; a replay of old candles has none to be held against."""
    parsed = Series.parse(series)
    if parsed.venue in _WITHOUT_PRICES:
        return None
    try:
        prices = client.latest_prices().prices
    except ApiError:
        return None
    of_symbol = [price for price in prices if price.symbol == str(parsed.symbol)]
    return min(of_symbol, key=lambda price: price.age_seconds, default=None)


def _history(client: Client, bare: Snapshot, before: Snapshot | None) -> History:
    try:
        return _asked(client, bare)
    except ApiError as error:
        if error.status != _AWAY:
            raise
        if before is None or (before.series, before.horizon) != (bare.series, bare.horizon):
            return History()
        return _kept(before)


def _asked(client: Client, bare: Snapshot) -> History:
    assert bare.series is not None  # noqa: S101 - look() has chosen one
    try:
        candles: CandleColumns | None = client.candles(bare.series, PAST_CANDLES)
    except ApiError as error:
        if error.status != 404:
            raise
        candles = None  # configured, but nothing ingested yet
    newest = PAST_CANDLES + bare.horizon
    rows = client.forecasts(bare.series, bare.horizon, newest).forecasts if candles else []
    challenger = _newest_trained(client.models().models, bare) if bare.baseline else None
    live = tuple(row for row in rows if row.origin == "live")
    hindsight = tuple(row for row in rows if row.origin != "live")
    return History(_until(candles, bare.forecast), live, hindsight, challenger)


def _newest_trained(models: Iterable[ModelVersion], bare: Snapshot) -> ModelVersion | None:
    series = bare.parsed
    for model in models:
        fits = series is None or (model.interval in (None, series.interval) and model.venue in (None, series.venue))
        if model.kind != "naive" and fits:
            return model
    return None


def _until(candles: CandleColumns | None, forecast: LatestForecast | None) -> CandleColumns | None:
    """Leave out candles that closed after the forecast's cutoff, so that one picture shows one moment."""
    if candles is None or forecast is None or forecast.cutoff is None or forecast.status == "abstained":
        return candles
    step = Interval.parse(candles.interval).delta
    kept = sum(from_ms(opened) + step <= forecast.cutoff for opened in candles.open_time)
    if kept == len(candles.open_time):
        return candles
    columns = ("open_time", "open", "high", "low", "close", "volume")
    return candles.model_copy(update={name: getattr(candles, name)[:kept] for name in columns})


def _horizon(wanted: int | None, known: list[int]) -> int:
    return wanted if wanted in known and wanted is not None else (known[0] if known else 1)


def _clock(
    series: str, status: ServiceStatus | None, forecasts: tuple[LatestForecast, ...], wall: datetime
) -> tuple[datetime, float]:
    venue = series.partition(":")[0]
    for state in status.venues if status else []:
        if state.venue == venue:
            return state.now, state.clock_speed
    return (forecasts[0].now, forecasts[0].clock_speed) if forecasts else (wall, 1.0)


def _same_candles(before: Snapshot, after: Snapshot) -> bool:
    return _candle_key(before) == _candle_key(after)


def _candle_key(snapshot: Snapshot) -> tuple[object, ...]:
    forecast, state = snapshot.forecast, snapshot.state
    return (
        snapshot.series,
        snapshot.horizon,
        (forecast.status, forecast.cutoff, forecast.model_version) if forecast else None,
        (state.last_close_time, state.candles) if state else None,
    )


def closes_next(snapshot: Snapshot) -> datetime | None:
    """Return when the candle after the newest one closes."""
    series, newest = snapshot.parsed, snapshot.newest_close
    return newest + series.interval.delta if series and newest else None


def venue_now(snapshot: Snapshot, wall: datetime) -> datetime:
    """Return the venue's clock at a wall time after the snapshot was taken."""
    return snapshot.now + timedelta(seconds=snapshot.speed * (wall - snapshot.taken_at).total_seconds())
