"""Settings: where they come from, what they refuse, and that secrets do not print."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from candlecast.candles import Series
from candlecast.errors import ConfigurationError
from candlecast.settings import DEFAULT_SERIES, Settings, load_settings, parse_series

DIGEST = "ab" * 32


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CANDLECAST_")]:
        monkeypatch.delenv(name)


def test_default_series_are_five_symbols_at_three_intervals() -> None:
    settings = load_settings()
    assert len(settings.series) == 15
    assert settings.series[0] == Series.parse("binance:BTC-USDT:5m")
    assert settings.series[-1] == Series.parse("binance:XRP-USDT:1h")
    assert settings.series == parse_series(DEFAULT_SERIES)


def test_environment_beats_the_default_and_an_override_beats_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLECAST_BACKFILL_DAYS", "3.5")
    monkeypatch.setenv("CANDLECAST_SERIES", "replay:BTC-USDT:1h")
    assert load_settings().backfill_days == 3.5
    assert load_settings().series == (Series.parse("replay:BTC-USDT:1h"),)
    assert load_settings(backfill_days=7).backfill_days == 7
    assert load_settings(backfill_days=None).backfill_days == 3.5


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("replay:BTC-USDT:1h", ["replay:BTC-USDT:1h"]),
        (" replay:BTC-USDT:1h,\n replay:ETH-USDT:1h ", ["replay:BTC-USDT:1h", "replay:ETH-USDT:1h"]),
        ("replay:BTC-USDT:1h replay:BTC-USDT:1h", ["replay:BTC-USDT:1h"]),
        ("replay:{ETH,BTC}-USDT:1h", ["replay:ETH-USDT:1h", "replay:BTC-USDT:1h"]),
        (
            "replay:{BTC,ETH}-USDT:{1h,1d}",
            ["replay:BTC-USDT:1h", "replay:BTC-USDT:1d", "replay:ETH-USDT:1h", "replay:ETH-USDT:1d"],
        ),
        ("{replay,binance}:BTC-{USDT,EUR}:1h,replay:BTC-USDT:1h", [
            "replay:BTC-USDT:1h", "replay:BTC-EUR:1h", "binance:BTC-USDT:1h", "binance:BTC-EUR:1h",
        ]),
    ],
)  # fmt: skip
def test_braces_expand_and_each_series_counts_once(text: str, names: list[str]) -> None:
    assert [str(series) for series in parse_series(text)] == names


@pytest.mark.parametrize(
    "text", ["", " , ", "BTC", "replay:{BTC,ETH-USDT:1h", "replay:BTC-USDT:2h", "mtgox:BTC-USDT:1h"]
)
def test_series_that_is_misspelt_names_its_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CANDLECAST_SERIES", text)
    with pytest.raises(ConfigurationError, match=r"^CANDLECAST_SERIES: "):
        load_settings()


def test_horizons_are_sorted_and_count_once() -> None:
    assert load_settings(horizons="5, 1,5,12").horizons == (1, 5, 12)
    assert load_settings(horizons=(2,)).horizons == (2,)


@pytest.mark.parametrize("text", ["", "0", "1,-5", "one", "1.5", "1,,5"])
def test_horizon_that_is_no_whole_number_of_candles_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CANDLECAST_HORIZONS", text)
    with pytest.raises(ConfigurationError, match=r"^CANDLECAST_HORIZONS: "):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backfill_days", "0"),
        ("replay_speed", "0"),
        ("service_port", "70000"),
        ("venue_attempts", "0"),
        ("venue_backoff", "-1"),
        ("log_level", "LOUD"),
        ("dispatcher_mode", "nonsense"),
        ("min_train_candles", "999"),
        ("replay_start", "yesterday"),
        ("max_staleness", "soon"),
    ],
)
def test_value_out_of_bounds_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CANDLECAST_{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=f"^CANDLECAST_{name.upper()}: "):
        load_settings()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLECAST_UI_PORT", "0")
    monkeypatch.setenv("CANDLECAST_HORIZONS", "0")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "CANDLECAST_UI_PORT" in caught.value.message
    assert "CANDLECAST_HORIZONS" in caught.value.message


def test_replay_start_is_utc_unless_it_says_otherwise() -> None:
    start = datetime(2025, 9, 1, tzinfo=UTC)
    assert load_settings().replay_start == start
    assert load_settings(replay_start="2025-09-01").replay_start == start
    assert load_settings(replay_start="2025-09-01T02:00:00+02:00").replay_start == start
    given = datetime(2025, 9, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert load_settings(replay_start=given).replay_start.tzinfo == UTC


def test_tokens_are_pairs_of_name_and_digest() -> None:
    assert load_settings(api_tokens=f"ann:{DIGEST}, bob:{DIGEST},").api_tokens == {"ann": DIGEST, "bob": DIGEST}
    assert load_settings(api_tokens="").api_tokens == {}


@pytest.mark.parametrize("text", ["ann", "ann:secret", f":{DIGEST}", f"ann:{DIGEST}0", f"ann:{DIGEST[:-1]}G"])
def test_token_that_is_no_digest_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CANDLECAST_API_TOKENS", text)
    with pytest.raises(ConfigurationError, match="64 hex digits"):
        load_settings()


def test_origins_are_separated_by_commas() -> None:
    origins = ("https://desk.example.org", "http://127.0.0.1:8080")
    assert load_settings(cors_origins="https://desk.example.org, http://127.0.0.1:8080,").cors_origins == origins
    assert load_settings().cors_origins == ()


@pytest.mark.parametrize("text", ["*", "desk.example.org", "https://", "https://a/b", "null", "https://*.example.org"])
def test_origin_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CANDLECAST_CORS_ORIGINS", text)
    with pytest.raises(ConfigurationError, match=r"^CANDLECAST_CORS_ORIGINS: .*is no origin"):
        load_settings()


def test_root_path_ends_without_a_slash() -> None:
    assert load_settings(root_path="/candlecast/").root_path == "/candlecast"
    assert load_settings(root_path="/").root_path == ""


@pytest.mark.parametrize("text", ["candlecast", "//evil", "/a b", "/a?b", "https://a"])
def test_root_path_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CANDLECAST_ROOT_PATH", text)
    with pytest.raises(ConfigurationError, match=r"^CANDLECAST_ROOT_PATH: .*is no path"):
        load_settings()


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLECAST_DATABASE_URL", "postgresql://someone:hunter2@somewhere/candlecast")
    monkeypatch.setenv("CANDLECAST_API_TOKEN", "hunter2")
    settings = load_settings()
    assert settings.database_url is not None
    assert "hunter2" in settings.database_url.get_secret_value()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_wrong_secret_is_not_repeated_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLECAST_API_TOKENS", "ann:hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().service_port = 1


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_paths_are_paths() -> None:
    assert load_settings(replay_dir="some/where").replay_dir == Path("some/where")


def test_fall_backs_are_named_by_venue_and_symbol() -> None:
    settings = load_settings(
        fallbacks="binance:BTC-USDT=kraken:BTC-USDT coinbase:BTC-USDT, kraken:ETH-USD=coinbase:ETH-USD"
    )
    assert settings.fallbacks_of(Series.parse("binance:BTC-USDT:5m")) == ("kraken", "coinbase")
    assert settings.fallbacks_of(Series.parse("kraken:ETH-USD:1h")) == ("coinbase",)
    assert settings.fallbacks_of(Series.parse("binance:ETH-USDT:5m")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("binance:BTC-USDT=kraken:BTC-USD", "BTC-USD has other prices than BTC-USDT"),
        ("binance:BTC-USDT=kraken:ETH-USDT", "ETH-USDT has other prices than BTC-USDT"),
        ("binance:BTC-USDT=binance:BTC-USDT", "name another exchange"),
        ("binance:BTC-USDT=simulated:BTC-USDT", "name another exchange"),
        ("replay:BTC-USDT=binance:BTC-USDT", "name another exchange"),
        ("binance:BTC-USDT=", "names no venue that stands in"),
        ("binance:BTC-USDT", "names no venue that stands in"),
        ("bitfinex:BTC-USDT=kraken:BTC-USDT", "unknown venue"),
    ],
)
def test_a_fall_back_with_other_prices_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="CANDLECAST_FALLBACKS") as refused:
        load_settings(fallbacks=text)
    assert said in refused.value.message


@pytest.mark.parametrize("text", ["7,1", "0,1", "-1", "1,1", "a"])
def test_days_between_looks_at_a_gap_grow(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CANDLECAST_GAP_RECHECK_DAYS"):
        load_settings(gap_recheck_days=text)
