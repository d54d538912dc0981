"""`make run`: which venue it plays, what it says when it cannot start, and the whole product once."""

import gzip
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import httpx
import numpy as np
import psutil
import pytest

from candlecast.candles import Candles, Series
from candlecast.clock import VenueClock
from candlecast.settings import DEFAULT_SERIES, load_settings, parse_series
from tests.making import START, make_candles
from tests.programs import free_port, running
from tests.venues.exchange import BinanceServer
from tests.waiting import eventually
from tools.run import main

BTC = Series.parse("replay:BTC-USDT:15m")
CANDLES = make_candles(900)


def _write(folder: Path, candles: Candles) -> Path:
    columns = candles.columns()
    times = columns["open_time"].astype(np.int64).tolist()
    rows = zip(times, *(columns[name].tolist() for name in ("open", "high", "low", "close", "volume")), strict=True)
    lines = ["ts,open,high,low,close,volume", *(",".join(map(repr, row)) for row in rows)]
    folder.mkdir()
    path = folder / "binance-BTCUSDT-15m-2025-09-01-2025-09-10.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@pytest.fixture
def busy() -> Iterator[int]:
    """Return a port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        yield port


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, busy: int) -> dict[str, str]:
    """Return this process's environment for one start, with a busy port: so far it comes, and no further."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    ours["CANDLECAST_DATA_DIR"] = str(tmp_path / "var")
    ours["CANDLECAST_SERVICE_PORT"] = str(busy)
    ours["CANDLECAST_BINANCE_URL"] = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(os, "environ", ours)
    return ours


def _start(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Start, expect that it gives up as misconfigured, and return the lines it printed."""
    assert main(list(arguments)) == 78
    return capsys.readouterr().out.strip().splitlines()


def test_without_the_exchange_the_market_is_simulated_and_one_line_says_so(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line, _ = _start(capsys)
    assert re.fullmatch(r"Binance cannot be reached \(.+\): this is a SIMULATED market\.", line)
    assert {series.venue for series in load_settings().series} == {"simulated"}


def test_an_exchange_that_answers_is_played(settings: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with BinanceServer({}, VenueClock()) as server:
        settings["CANDLECAST_BINANCE_URL"] = server.url
        assert "SIMULATED" not in " ".join(_start(capsys))
        assert [request.path for request in server.requests] == ["/api/v3/time"]
    assert load_settings().series == parse_series(DEFAULT_SERIES)


def test_an_exchange_that_refuses_this_place_is_as_good_as_away(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with BinanceServer({}, VenueClock()) as server:
        settings["CANDLECAST_BINANCE_URL"] = f"{server.url}/nowhere"
        line, _ = _start(capsys)
    assert "404" in line
    assert line.endswith("this is a SIMULATED market.")


def test_chosen_series_are_played_without_asking_the_exchange(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Binance" not in " ".join(_start(capsys, "--series", "simulated:BTC-USDT:1m"))
    assert [str(series) for series in load_settings().series] == ["simulated:BTC-USDT:1m"]


def test_replay_plays_what_the_folder_holds(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = _write(tmp_path / "candles", CANDLES)
    _start(capsys, "--venue", "replay", "--data", str(folder), "--start", "2025-09-03", "--speed", "7")
    found = load_settings()
    assert found.series == (BTC,)
    assert (found.replay_dir, found.replay_start, found.replay_speed) == (folder, START.replace(day=3), 7)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--venue", "nasdaq"), "unknown VENUE=nasdaq; known are binance, coinbase, kraken, replay, simulated"),
        (("--venue", "replay"), "VENUE=replay needs a folder of candle files; add DATA=DIR"),
        (("--venue", "replay", "--data", "/nowhere"), "the replay folder /nowhere does not exist"),
        (("--venue", "simulated", "--series", "BTC"), "CANDLECAST_SERIES: "),
        (("--venue", "simulated", "--speed", "fast"), "CANDLECAST_REPLAY_SPEED: "),
        (("--venue", "kraken"), "VENUE=kraken, but the series to play are of binance; set SERIES"),
        (("--venue", "simulated", "--series", "binance:BTC-USDT:5m"), "VENUE=simulated, but the series to play are"),
    ],
)
def test_what_cannot_be_played_is_named(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str
) -> None:
    (line,) = _start(capsys, *arguments)
    assert line.startswith(f"candlecast: {named}")


@pytest.mark.parametrize("name", ["CANDLECAST_SERVICE_PORT", "CANDLECAST_UI_PORT"])
def test_a_busy_port_is_named_with_the_way_out(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str], busy: int, name: str
) -> None:
    settings |= {"CANDLECAST_SERVICE_PORT": str(free_port()), name: str(busy)}
    (line,) = _start(capsys, "--venue", "simulated")
    assert f"port {busy} " in line
    assert name in line


def test_the_whole_product_runs_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    folder, data, log = _write(tmp_path / "candles", CANDLES), tmp_path / "var", tmp_path / "log"
    service, ui = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    environment |= {
        "CANDLECAST_DATA_DIR": str(data),
        "CANDLECAST_SERVICE_PORT": service.rpartition(":")[2],
        "CANDLECAST_UI_PORT": ui.rpartition(":")[2],
    }
    # Where the clock starts 600 candles are there: enough for the baseline, too few for training.
    start = (START + 600 * BTC.interval.delta).isoformat()
    command = [sys.executable, "-m", "tools.run", "--venue", "replay", "--data", str(folder), "--start", start]
    with running([*command, "--speed", "30"], environment, log) as process:
        answer = eventually(lambda: _forecast(service), 150)
        assert (answer["series"], answer["status"], answer["clock_speed"]) == (str(BTC), "baseline", 30.0)
        assert eventually(lambda: httpx.get(ui).is_success, 120)
        printed = eventually(lambda: _printed(log), 120)
        assert f"{service}/v1/forecasts/latest" in printed
        assert ui in printed
        assert f"First forecast written down: {BTC}" in printed
        (token,) = re.findall(r"token +(\S+)", printed)
        headers = {"authorization": f"Bearer {token}"}
        asked = httpx.post(f"{service}/v1/runs", json={"job": "ingestion"}, headers=headers)
        assert (asked.status_code, asked.json()["requested_by"]) == (202, "local")

        ours = _processes_of(data)
        assert any("postgres" in one.name() for one in ours)
        assert len(ours) >= 5
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
        eventually(lambda: not _processes_of(data), 20)
    assert log.read_text().rstrip().endswith("Stopped.")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGHUP], ids=["ctrl_c", "closed_terminal"])
def test_told_to_end_while_everything_still_starts_all_of_it_ends(
    environment: dict[str, str], tmp_path: Path, end: signal.Signals
) -> None:
    ports = {"CANDLECAST_SERVICE_PORT": str(free_port()), "CANDLECAST_UI_PORT": str(free_port())}
    series = {"CANDLECAST_SERIES": "simulated:BTC-USDT:1d", "CANDLECAST_BACKFILL_DAYS": "2"}
    log, token = tmp_path / "log", tmp_path / "var" / "token"
    with running([sys.executable, "-m", "tools.run"], environment | ports | series, log) as process:
        # With a database of one's own nothing has made the data folder before.
        eventually(lambda: f"token    {token.read_text()}" in log.read_text() if token.exists() else _alive(process))
        process.send_signal(end)
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert not (tmp_path / "var" / "postgres").exists()
        assert process.wait(60) == 0, log.read_text()
        eventually(lambda: not _processes_of(tmp_path / "var"), 20)


def _alive(process: Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"it ended with {process.returncode}")
    return False


def _forecast(service: str) -> dict[str, object]:
    answer = httpx.get(f"{service}/v1/forecasts/latest")
    assert answer.is_success, answer.text  # until the database was reached: 503
    (first, *_) = answer.json()["forecasts"]
    assert first["status"] != "abstained", first
    found: dict[str, object] = first
    return found


def _printed(log: Path) -> str:
    text = log.read_text()
    assert "Ready. Ctrl-C stops everything" in text
    return text


def _processes_of(data: Path) -> list[psutil.Process]:
    """Return the processes that know this data folder: ours by their environment, Postgres by its command line."""
    found = []
    for process in psutil.process_iter():
        try:
            environment, command = process.environ(), process.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
        if environment.get("CANDLECAST_DATA_DIR") == str(data) or any(str(data) in part for part in command):
            found.append(process)
    return found
