"""The model card: what a version is for, what it is not, what it learned from and how it scored, as Markdown.

Everything in it comes from the registry: the version's manifest, the decision about it, its scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from candlecast.store.models import NAIVE, Score, Version

_NOTICE = (
    "**Not for trading.** Nothing here is financial advice or an offer. A move of the next candle is mostly smaller "
    "than the cost of trading it, and what was measured on past candles need not hold on future ones."
)
_USE = (
    "Forecasts of the next candles of the series below, a few candles ahead: their open, high, low, close and range, a "
    "probability that the close rises, and intervals that cover what they promise. For people who watch a market and "
    "want to know how much is known about the next minutes or hours, and how little."
)
_LIMITS = (
    "The horizon is short, and the further ahead, the nearer the forecast is to no change.",
    "The signal is weak: direction is right only a little more often than a coin.",
    "It sees candles alone: no order book, no news, no other market than those named below.",
    "It abstains where its newest 512 candles have a gap, and knows no market unlike the one it learned from.",
    "Scores are of the hold-out named below. What it has said live since is at `/v1/live-scores`, and counts for more.",
)
_BASELINE = (
    "The baseline: the close stays where it is, with intervals from recent volatility. It learned nothing, answers "
    "where no model has earned it, and is what every model is held against."
)
_SHOWN = ("mae_ratio", "pinball", "coverage_80", "coverage_95", "accuracy", "auc", "brier")


def model_card(version: Version, scores: Sequence[Score]) -> str:
    """Return the card of a version."""
    if version.id == NAIVE:
        return _document([f"# Model card: {version.id}", _BASELINE, _NOTICE])
    manifest = version.manifest
    return _document(
        [
            f"# Model card: {version.id}",
            _state(version),
            _NOTICE,
            f"## Intended use\n\n{_USE}",
            "## Limits\n\n" + "\n".join(f"- {limit}" for limit in _LIMITS),
            f"## What it learned from\n\n{_data(manifest)}",
            f"## How it was judged\n\n{_judgement(manifest, version.decision)}",
            f"## Scores\n\n{_scores(scores)}",
            f"## How it was made\n\n{_making(version.id, manifest)}",
        ]
    )


def _document(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _state(version: Version) -> str:
    what = f"A model of {version.interval} candles of {version.venue}, made {version.created_at:%Y-%m-%d %H:%M} UTC."
    if version.promoted_at:
        return f"{what} It answers since {version.promoted_at:%Y-%m-%d %H:%M} UTC."
    if version.decision and version.decision.get("promote"):
        return f"{what} It earned its place and does not answer now."
    return f"{what} It was not promoted and does not answer."


def _data(manifest: Mapping[str, Any]) -> str:
    training: Mapping[str, Mapping[str, Any]] = manifest.get("training", {})
    rows = [
        (name, f"{facts['candles']:,}", *(str(facts.get(bound, "-"))[:16] for bound in ("start", "end")))
        for name, facts in training.items()
    ]
    parts = [_table(("series", "candles", "first", "until (UTC)"), rows)]
    parts += [f"Left out: {series}, {why}." for series, why in manifest.get("left_out", {}).items()]
    return "\n\n".join(parts)


def _judgement(manifest: Mapping[str, Any], decision: Mapping[str, Any] | None) -> str:
    facts: Mapping[str, Any] = manifest.get("evaluation", {})
    if not facts or not decision:
        return "Nothing is recorded."
    train_end, start, end = (_minute(facts[name]) for name in ("train_end", "start", "end"))
    how = (
        f"A twin, fitted in the same way on what was decided by {train_end}, was judged from {start} to {end} "
        "UTC, which it had not seen. The model itself then learned from everything."
    )
    verdict = f"{'Promoted' if decision['promote'] else 'Refused'}: {decision['reason']}."
    checks = "\n".join(_leak(check) for check in facts.get("leak_checks", ()))
    return "\n\n".join(part for part in (how, verdict, checks) if part)


def _leak(check: Mapping[str, Any]) -> str:
    words = check["name"].replace("_", " ")
    return f"- Leak check, {words}: {'passed' if check['passed'] else 'failed'} ({check['reason']})"


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return "None are recorded."
    values = {(one.series, one.horizon, one.forecaster, one.metric): one.value for one in scores}
    counts = {(one.series, one.horizon, one.forecaster): one.count for one in scores}
    rows = [
        (
            *(str(series), str(horizon), forecaster, f"{count:,}"),
            *(_number(values.get((series, horizon, forecaster, metric))) for metric in _SHOWN),
        )
        for (series, horizon, forecaster), count in sorted(counts.items())
    ]
    table = _table(("series", "horizon", "forecaster", "cutoffs", *_SHOWN), rows)
    return (
        f"{table}\n\n`mae_ratio` is to no change: below 1 is better. `pinball` is a share of the last close. The "
        "coverages should be 0.80 and 0.95. `docs/evaluation.md` says how each is computed."
    )


def _making(model_version: str, manifest: Mapping[str, Any]) -> str:
    return "\n".join(f"- {line}" for line in _facts(model_version, manifest)) or "Nothing is recorded."


def _facts(model_version: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    if features := manifest.get("features"):
        names = len(features["names"])
        yield f"{names} features of the newest {features['window']} candles, fingerprint `{features['fingerprint']}`"
    if "data_hash" in manifest:
        yield f"candles with the hash `{manifest['data_hash']}`"
    if "seed" in manifest:
        yield f"seed {manifest['seed']}, {manifest['threads']} threads, {manifest['rows']:,} rows"
    if libraries := manifest.get("libraries"):
        yield ", ".join(f"{name} {number}" for name, number in libraries.items())
    for name, digest in manifest.get("artefacts", {}).items():
        yield f"`{name}`: sha256 `{digest}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
