"""Ingestion against exchanges that lie, fail and refuse: what is stored is true, and what is missing is said.

Every script is drawn from a seed. CANDLECAST_HOSTILE_SCRIPTS says how many are played, CANDLECAST_HOSTILE_FIRST with
which seed they begin; a failure prints the line that plays its script again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import SimpleQueue, get_context
from typing import Any

import pytest

from candlecast.candles import Candles, Interval, Series, Symbol, to_datetime64
from candlecast.spans import Span
from candlecast.store.database import Database
from ingestion_job.plan import SETTLED
from tests.ingestion_job.world import Outcome, World, different, open_times, times_in
from tests.making import START, make_candles
from tests.venues.archive import ArchiveServer
from tests.venues.exchange import KRAKEN_ROWS, BinanceServer, CoinbaseServer, KrakenServer
from tests.venues.hostile import (
    ARCHIVE_ONLY,
    DECEIVING,
    OVERCOME,
    REFUSED,
    STOPPING,
    Exchange,
    Fault,
    complete,
    random_script,
    restated,
)

FIRST = int(os.environ.get("CANDLECAST_HOSTILE_FIRST", "0"))
SCRIPTS = int(os.environ.get("CANDLECAST_HOSTILE_SCRIPTS", "300"))
TOGETHER = 25
"""Scripts of one test: each of them is short, and a test has a time limit."""

_OWN = {"binance": "binance", "archive": "binance", "fallback": "binance", "coinbase": "coinbase", "kraken": "kraken"}
_FAULTS = tuple(OVERCOME | DECEIVING | REFUSED | STOPPING)
_ARCHIVE_FAULTS = tuple(OVERCOME | ARCHIVE_ONLY | STOPPING)
_MAKES_GAPS = DECEIVING | REFUSED | {Fault.SHORT}
"""After these an exchange may twice not have given what it has."""

_SEVERAL_PAGES = {"binance": 1300, "archive": 1300, "fallback": 1300, "coinbase": 1000, "kraken": 500}
"""Candles that take more than one request; Kraken gives only what one request brings."""

_REPLACED_AT_ONCE = timedelta(days=1)
"""How old candles of fall-backs are, at most, that every run replaces; older ones are for the first run of a day."""

_BEFORE_LISTING = timedelta(hours=6)
_PAUSE = timedelta(hours=2)


@dataclass(slots=True)
class Script:
    """Everything about one script that follows from its seed."""

    seed: int
    dice: random.Random = field(init=False)
    kind: str = field(init=False)
    series: Series = field(init=False)
    whole: Candles = field(init=False)
    other: Candles = field(init=False)
    now: datetime = field(init=False)
    newest: set[datetime] = field(default_factory=set)
    restated: set[datetime] = field(default_factory=set)
    spent: set[Fault] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311  # a test's dice
        self.kind = self.dice.choice(sorted(_OWN))
        interval = self.dice.choice([Interval.M1, Interval.M5, Interval.M15, Interval.H1])
        self.series = Series(_OWN[self.kind], Symbol(f"S{self.seed}", "USDT"), interval)
        count = self.dice.randint(20, 150) if self.dice.random() < 0.7 else _SEVERAL_PAGES[self.kind]
        total = count + 3 * _PAUSE // interval.delta + 20
        self.whole = self._with_holes(complete(make_candles(total, interval, seed=self.seed)))
        self.other = complete(make_candles(total, interval, seed=self.seed + 1))
        self.now = START + (count + self.dice.uniform(0.1, 0.6)) * interval.delta
        self._look()

    def wait(self) -> None:
        """Let time pass: new candles close, and one of the newest before them may be restated."""
        if self.dice.random() < 0.3:
            row = len(self.visible) - self.dice.randint(1, 5)
            self.whole = restated(self.whole, row)
            self.restated |= open_times(self.whole[row : row + 1])
        self.now += _PAUSE * self.dice.uniform(0.6, 1)
        self._look()

    @property
    def visible(self) -> Candles:
        """Return the truth as far as it has closed."""
        return self.whole.closed(self.now)

    @property
    def shown(self) -> Candles:
        """Return what the exchange still shows to have closed: of Kraken its newest rows, but for the last."""
        if self.kind != "kraken":
            return self.visible
        begun = int((self.whole.open_time <= to_datetime64(self.now)).sum())
        return self.whole[max(0, begun - KRAKEN_ROWS) : begun - 1]

    @property
    def window(self) -> Span:
        """Return the time that a run is about."""
        return Span(START - _BEFORE_LISTING, self.series.interval.floor(self.now))

    @property
    def days(self) -> float:
        """Return how many days the window has."""
        return (self.now - self.window.start) / timedelta(days=1)

    def _look(self) -> None:
        self.newest |= {max(open_times(self.visible))}

    def _with_holes(self, candles: Candles) -> Candles:
        """Return the candles of every third script with some missing in the middle: nobody traded."""
        if self.kind == "fallback" or self.dice.random() > 0.3:
            return candles
        gone = {self.dice.randint(1, len(candles) - 2) for _ in range(self.dice.randint(1, 4))}
        return Candles.concatenate([candles[i : i + 1] for i in range(len(candles)) if i not in gone])


class Stage:
    """The exchanges, and a database that knows nothing of them yet."""

    def __init__(self, world: World, exchanges: dict[str, Exchange]) -> None:
        self.world = world
        self.exchanges = exchanges

    def play(self, script: Script) -> None:
        """Play a script: two runs with faults, time between them, and a last one without faults that mends it all."""
        for length in (14, 6):
            self._prepare(script, length)
            self._check(script, self._run(script))
            self._check_ban(script)
            script.wait()
        self.world.forget_bans()
        self._prepare(script, 0)
        outcome = self._run(script, venue_timeout=10)
        assert outcome.failures == {}
        found = self.world.stored(script.series)
        assert open_times(script.shown) <= open_times(found), "healed by the first run without faults"
        assert self._different(script, found) == set()
        borrowed = {
            moment
            for moment, source in self.world.sources(script.series).items()
            if source not in (script.series.venue, "binance_archive")
        }
        assert all(moment < script.now - _REPLACED_AT_ONCE for moment in borrowed), "older ones wait for the next day"
        assert not self._believed_missing(script) & open_times(script.shown)

    def _prepare(self, script: Script, length: int) -> None:
        share = script.dice.choice([0.1, 0.3, 0.6, 0.9])
        for name, exchange in self.exchanges.items():
            truth = script.other if script.kind == "fallback" and name == "coinbase" else script.whole
            exchange.truth = {(script.series.symbol, script.series.interval): truth}
            exchange.clock = partial(getattr, script, "now")
            exchange.forget()
            faults = _ARCHIVE_FAULTS if name == "binance_archive" else _FAULTS
            exchange.play(random_script(script.dice, length, faults, share=share))

    def _run(self, script: Script, **more: Any) -> Outcome:
        settings: dict[str, Any] = {"backfill_days": script.days, **more}
        if script.kind != "archive":
            settings["binance_archive_url"] = ""
        if script.kind == "fallback":
            settings["fallbacks"] = f"binance:{script.series.symbol}=coinbase:{script.series.symbol}"
        planned = {name: list(exchange.script) for name, exchange in self.exchanges.items()}
        self.world.know_clock(script.series.venue, script.now)
        outcome = self.world.ingest(script.series, **settings)
        for name, exchange in self.exchanges.items():
            script.spent |= {
                fault for fault in planned[name][: len(planned[name]) - exchange.unspent] if isinstance(fault, Fault)
            }
        return outcome

    def _check(self, script: Script, outcome: Outcome) -> None:
        stored, truth = self.world.stored(script.series), script.visible
        preliminary = script.newest if Fault.PRELIMINARY in script.spent else set()
        assert self._different(script, stored) <= preliminary | script.restated, "only what is true is stored"

        said, believed = times_in(outcome.missing(script.series), script.series), self._believed_missing(script)
        recent = script.now - SETTLED - script.series.interval.delta
        unsettled = {moment for moment in open_times(truth) if moment > recent}
        lacking = open_times(truth) - open_times(stored)
        assert lacking <= said | believed | unsettled, "what is missing is said"
        assert not said & open_times(stored), "and nothing else"
        if not script.spent & _MAKES_GAPS:
            assert not believed & open_times(truth), "a gap is confirmed only where the venue has one"

        assert bool(outcome.failures) == bool(said)
        assert (outcome.exit_code == 0) == (not outcome.failures)
        assert (outcome.row.state, outcome.row.failed) == ("failed" if said else "succeeded", len(outcome.failures))
        for failure in outcome.failures.values():
            assert failure.message in str(outcome.row.error)
            assert failure.message.startswith(f"{len(said)} candle")

    def _check_ban(self, script: Script) -> None:
        """After a ban nobody asks again, in this run or the next."""
        banned = self.world.banned()
        if not banned:
            return
        for exchange in self.exchanges.values():
            exchange.requests.clear()
        self._run(script)
        assert {name for name in banned if self.exchanges[name].requests} == set()

    def _different(self, script: Script, found: Candles) -> set[datetime]:
        """Return the candles that nobody ever said like this, as far as the exchange has the columns."""
        columns = None if script.series.venue == "binance" else ("open", "high", "low", "close", "volume")
        wrong = different(found, script.visible, columns)
        if script.kind == "fallback":
            sources = self.world.sources(script.series)
            others = different(found, script.other, ("open", "high", "low", "close", "volume"))
            wrong = {moment for moment in wrong if sources[moment] != "coinbase" or moment in others}
        return wrong

    def _believed_missing(self, script: Script) -> set[datetime]:
        return times_in([gap.span for gap in self.world.confirmed(script.series, script.window)], script.series)


_stage: Stage
"""That of a worker process."""


def _open_stage(addresses: SimpleQueue[str]) -> None:
    global _stage
    servers: dict[str, type[BinanceServer | ArchiveServer | CoinbaseServer | KrakenServer]] = {
        "binance": BinanceServer,
        "binance_archive": ArchiveServer,
        "coinbase": CoinbaseServer,
        "kraken": KrakenServer,
    }
    # They last as long as the process.
    exchanges: dict[str, Exchange] = {name: server({}, lambda: START).__enter__() for name, server in servers.items()}
    address = addresses.get()
    world = World(Database(address, address))
    world.settings |= {f"{name}_url": exchange.url for name, exchange in exchanges.items()}
    world.settings |= {"coingecko_url": "", "coinbase_pause": 0, "kraken_pause": 0}
    _stage = Stage(world, exchanges)


def _play(seed: int) -> None:
    try:
        _stage.play(Script(seed))
    except BaseException as error:
        again = "CANDLECAST_HOSTILE_FIRST={} CANDLECAST_HOSTILE_SCRIPTS=1 .venv/bin/pytest tests/ingestion_job/{}"
        error.add_note(f"script {seed}; to play it again: {again.format(seed, os.path.basename(__file__))}")
        raise


@pytest.fixture(scope="module")
def stages(new_database_url: Callable[[], str]) -> Iterator[Executor]:
    """Return worker processes, one for each core, with a stage of their own each."""
    processes, spawning = os.cpu_count() or 1, get_context("spawn")
    addresses = spawning.SimpleQueue()
    for _ in range(processes):
        addresses.put(new_database_url())
    with ProcessPoolExecutor(processes, spawning, initializer=_open_stage, initargs=(addresses,)) as pool:
        yield pool


@pytest.mark.parametrize("first", range(FIRST, FIRST + SCRIPTS, TOGETHER))
def test_whatever_exchanges_do_the_table_is_true_and_the_run_says_what_is_missing(stages: Executor, first: int) -> None:
    for _ in stages.map(_play, range(first, min(first + TOGETHER, FIRST + SCRIPTS))):
        pass
