"""May a challenger answer from now on? A pure decision with its reason and its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from candlecast.candles import Floats, Series
from candlecast.evaluation import MINIMUM_SCORED, Judged, diebold_mariano, pooled_losses, skill_interval
from candlecast.forecast import INTERVALS
from candlecast.leaks import LeakCheck

Judgements = Mapping[Series, Judged]


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """What a challenger must show on the judged window, pooled over its series, at its shortest horizon."""

    minimum_scored: int = MINIMUM_SCORED
    """Fewest cutoffs; with fewer it is too early."""

    mae_ratio_below: float = 1.0
    """Its mean absolute error over that of "no change" must lie below this."""

    p_value_at_most: float = 0.05
    """One-sided Diebold-Mariano p-value of that improvement: how often chance alone would show as much."""

    pinball_ratio_below: float = 1.0
    """Its mean pinball loss over the baseline's must lie below this."""

    coverage_tolerance: float = 0.03
    """How far the coverage of each central interval may be from its promise."""

    coverage_slack: float = 0.01
    """A coverage this close to its promise is never worse than the champion's, however good that one is."""

    windows: int = 5
    """Consecutive windows of equal count that the judged cutoffs are cut into."""

    minimum_windows_won: int = 3
    """In how many of them its pinball loss must lie below the baseline's, so that one lucky week is not enough."""

    worse_p_value_below: float = 0.05
    """It is worse than the champion when its MAE or pinball loss is higher with a one-sided p-value below this."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to promote, why in a sentence, and the numbers that it rests on. Refusal is a normal outcome."""

    promote: bool
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


def decide(
    challenger: Judgements,
    baseline: Judgements,
    champion: Judgements | None = None,
    policy: PromotionPolicy | None = None,
    leak_checks: Sequence[LeakCheck] = (),
) -> Decision:
    """Decide from judgements of one horizon; `challenger` and `baseline` cover the same series and cutoffs.

    A failed leak check refuses the challenger, however good its numbers: they are not to be believed.

    `champion` holds judgements from cutoffs that the champion did not learn from; series and cutoffs that only one
    of the two has are not compared. None: there is no champion. One that has fewer than `minimum_scored` such cutoffs
    cannot be judged yet and does not stand in the way of a challenger that has earned its place.
    """
    policy = policy or PromotionPolicy()
    numbers = _against_baseline(challenger, baseline, policy.windows)
    numbers |= {f"leak_{check.name}": float(not check.passed) for check in leak_checks}
    if numbers["count"] < policy.minimum_scored:
        reason = f"too early: {numbers['count']:.0f} cutoffs were scored, {policy.minimum_scored} are needed"
        return Decision(False, reason, _finite(numbers))
    if champion is not None:
        numbers |= _against_champion(challenger, champion)
    objections = [
        *(f"it failed the leak check {check.name}: {check.reason}" for check in leak_checks if not check.passed),
        *_baseline_objections(numbers, policy),
        *_champion_objections(numbers, policy),
    ]
    if objections:
        return Decision(False, "; ".join(objections), _finite(numbers))
    return Decision(True, _praise(numbers, policy, champion is not None), _finite(numbers))


def _against_baseline(challenger: Judgements, baseline: Judgements, windows: int) -> dict[str, float]:
    ours, naive = {s: j for s, j in challenger.items() if len(j)}, {s: j for s, j in baseline.items() if len(j)}
    if not ours:
        return {"count": 0.0}
    horizon = next(iter(ours.values())).horizon
    errors = _pooled(ours, {s: j.absolute_error for s, j in ours.items()}, _means(ours, "naive_error"))
    unmoved = _pooled(ours, {s: j.naive_error for s, j in ours.items()}, _means(ours, "naive_error"))
    pinball = _pooled(ours, {s: j.pinball for s, j in ours.items()}, _means(naive, "pinball"))
    naive_pinball = _pooled(naive, {s: j.pinball for s, j in naive.items()}, _means(naive, "pinball"))
    skill, lower, upper = skill_interval(errors, unmoved, horizon)
    return {
        "count": float(len(errors)),
        "series": float(len(ours)),
        "mae_ratio": _ratio(errors, unmoved),
        "mae_p_value": diebold_mariano(errors, unmoved, horizon).p_value,
        "skill": skill,
        "skill_lower": lower,
        "skill_upper": upper,
        "pinball_ratio": _ratio(pinball, naive_pinball),
        "pinball_p_value": diebold_mariano(pinball, naive_pinball, horizon).p_value,
        "windows_won": float(_windows_won(pinball, naive_pinball, windows)),
        **{f"coverage_{p}": _coverage(ours, p) for p in INTERVALS},
    }


def _windows_won(losses: Floats, other_losses: Floats, windows: int) -> int:
    return sum(float(part.sum()) < 0 for part in np.array_split(losses - other_losses, windows))


def _coverage(judged: Judgements, percent: int) -> float:
    return float(np.concatenate([one.covered(percent) for one in judged.values()]).mean())


def _against_champion(challenger: Judgements, champion: Judgements) -> dict[str, float]:
    ours = {s: j.rows(np.isin(j.cutoff, champion[s].cutoff)) for s, j in challenger.items() if s in champion}
    ours = {s: j for s, j in ours.items() if len(j)}
    theirs = {s: champion[s].rows(np.isin(champion[s].cutoff, j.cutoff)) for s, j in ours.items()}
    if not ours:
        return {"champion_count": 0.0}
    horizon = next(iter(ours.values())).horizon
    numbers = {f"own_coverage_{p}": _coverage(ours, p) for p in INTERVALS}
    numbers |= {f"champion_coverage_{p}": _coverage(theirs, p) for p in INTERVALS}
    for name, attribute in (("mae", "absolute_error"), ("pinball", "pinball")):
        units = _means(theirs, attribute)
        mine = _pooled(ours, {s: getattr(j, attribute) for s, j in ours.items()}, units)
        other = _pooled(theirs, {s: getattr(j, attribute) for s, j in theirs.items()}, units)
        numbers["champion_count"] = float(len(mine))
        numbers[f"champion_{name}_ratio"] = _ratio(mine, other)
        numbers[f"champion_{name}_worse_p_value"] = diebold_mariano(other, mine, horizon).p_value
    return numbers


def _pooled(judged: Judgements, losses: Mapping[Series, Floats], units: Mapping[Series, float]) -> Floats:
    return pooled_losses({s: (judged[s].cutoff, loss) for s, loss in losses.items()}, units)[1]


def _means(judged: Judgements, attribute: str) -> dict[Series, float]:
    # A series that never moved has no unit of its own; 1 leaves its zero losses zero.
    return {s: float(getattr(j, attribute).mean()) or 1.0 for s, j in judged.items()}


def _ratio(losses: Floats, other_losses: Floats) -> float:
    other = float(other_losses.mean())
    return float(losses.mean()) / other if other > 0 else math.nan


def _baseline_objections(numbers: Mapping[str, float], policy: PromotionPolicy) -> list[str]:
    objections = []
    ratio, p_value, pinball = numbers["mae_ratio"], numbers["mae_p_value"], numbers["pinball_ratio"]
    # Each comparison is written so that NaN objects.
    if not ratio < policy.mae_ratio_below:
        objections.append(f"its MAE is {ratio:.4f} of no change's, not below {policy.mae_ratio_below:g}")
    elif not p_value <= policy.p_value_at_most:
        objections.append(
            f"its MAE is {ratio:.4f} of no change's, which chance explains (p = {p_value:.3f}, "
            f"allowed {policy.p_value_at_most:g})"
        )
    if not pinball < policy.pinball_ratio_below:
        objections.append(f"its pinball loss is {pinball:.4f} of the baseline's, not below 1")
    won = numbers["windows_won"]
    if not won >= policy.minimum_windows_won:
        objections.append(
            f"its pinball loss was below the baseline's in {won:.0f} of {policy.windows} consecutive windows, "
            f"{policy.minimum_windows_won} are needed"
        )
    for percent in INTERVALS:
        covered = numbers[f"coverage_{percent}"]
        if not abs(covered - percent / 100) <= policy.coverage_tolerance:
            objections.append(
                f"its {percent} % interval covered {100 * covered:.1f} %, more than "
                f"{100 * policy.coverage_tolerance:g} points off"
            )
    return objections


def _champion_objections(numbers: Mapping[str, float], policy: PromotionPolicy) -> list[str]:
    if numbers.get("champion_count", 0.0) < policy.minimum_scored:
        return []
    return [
        f"its {word} is {numbers[f'champion_{name}_ratio']:.4f} of the champion's "
        f"(p = {numbers[f'champion_{name}_worse_p_value']:.3f} for being no worse)"
        for name, word in (("mae", "MAE"), ("pinball", "pinball loss"))
        if numbers[f"champion_{name}_worse_p_value"] < policy.worse_p_value_below
    ] + [
        f"its {percent} % interval covered {100 * ours:.1f} %, further from its promise than the champion's "
        f"{100 * theirs:.1f} %"
        for percent in INTERVALS
        for ours, theirs in [(numbers[f"own_coverage_{percent}"], numbers[f"champion_coverage_{percent}"])]
        if abs(ours - percent / 100) > max(abs(theirs - percent / 100), policy.coverage_slack)
    ]


def _praise(numbers: Mapping[str, float], policy: PromotionPolicy, has_champion: bool) -> str:
    praise = (
        f"over {numbers['count']:.0f} unseen cutoffs its MAE is {numbers['mae_ratio']:.4f} of no change's "
        f"(p = {numbers['mae_p_value']:.3f}), its pinball loss {numbers['pinball_ratio']:.4f} of the baseline's"
    )
    if not has_champion:
        return f"{praise}; there is no champion"
    if numbers["champion_count"] < policy.minimum_scored:
        return f"{praise}; the champion has too few cutoffs it did not learn from ({numbers['champion_count']:.0f})"
    return f"{praise}; not worse than the champion (MAE ratio {numbers['champion_mae_ratio']:.4f})"


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
