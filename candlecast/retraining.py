"""When is it time to train again? A pure decision with its reasons and its numbers.

Age alone trains at the latest; poor live skill or drift trains earlier. Either alarm rings once: it has to be over
before it can ring again, so that a market that stays odd does not train all day.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SKILL, DRIFT = "skill", "drift"


@dataclass(frozen=True, slots=True)
class LiveSkill:
    """Skill against the baseline on forecasts that were issued live, with the bounds of its 95 % interval."""

    value: float
    lower: float
    upper: float
    count: int


@dataclass(frozen=True, slots=True)
class RetrainingState:
    """What is known at `now` about the model of one venue and interval.

    `trained_at` is when the newest training of it ended, whatever it decided; `trainings` those that ended within the
    24 hours before `now`. `ringing` holds the alarms that the decision before this one left ringing. What is None is
    not known and decides nothing.
    """

    now: datetime
    trained_at: datetime | None = None
    trainings: int = 0
    skill: LiveSkill | None = None
    drift_share: float | None = None
    ringing: frozenset[str] = frozenset()
    planned: bool = False
    """The schedule's moment has come: a reason by itself, whatever the age."""


@dataclass(frozen=True, slots=True)
class RetrainingPolicy:
    """When training again is worth it. Each alarm has two thresholds: where it begins to ring, and where it ends."""

    minimum_hours: float = 6
    """No training sooner than this after the one before, whatever rings."""

    maximum_hours: float = 24
    """Training at the latest after this."""

    daily_budget: int = 3
    """Most trainings within 24 hours."""

    minimum_scored: int = 100
    """With fewer live forecasts their skill decides nothing."""

    poor_skill: float = 0.0
    """The alarm begins when the upper bound of live skill is below this: surely no better than the baseline."""

    good_skill: float = 0.0
    """The alarm ends when live skill itself is above this again."""

    drifted_share: float = 0.3
    """The alarm begins at this share of drifted columns."""

    settled_share: float = 0.2
    """The alarm ends below this share."""

    def __post_init__(self) -> None:
        if self.minimum_hours > self.maximum_hours:
            raise ValueError(f"minimum_hours ({self.minimum_hours:g}) is above maximum_hours ({self.maximum_hours:g})")
        if self.good_skill < self.poor_skill or self.settled_share > self.drifted_share:
            raise ValueError("an alarm has to end where it would not begin at once again")


@dataclass(frozen=True, slots=True)
class RetrainingDecision:
    """Whether to train, why or why not in a sentence, which alarms ring on, and the numbers that it rests on."""

    train: bool
    reason: str
    ringing: frozenset[str] = frozenset()
    numbers: dict[str, float] = field(default_factory=dict)


def decide_retraining(state: RetrainingState, policy: RetrainingPolicy | None = None) -> RetrainingDecision:
    """Decide whether to train now. Hand the decision's `ringing` to the next call.

    An alarm counts as ringing only once a training has answered it: one that had to wait is not lost.
    """
    policy = policy or RetrainingPolicy()
    alarms = _alarms(state, policy)
    new = {name: why for name, why in alarms.items() if why and name not in state.ringing}
    numbers = _numbers(state)
    if state.trained_at is None:
        return RetrainingDecision(True, "there was no training yet", frozenset(alarms), numbers)
    age = state.now - state.trained_at
    due = f"the last training was {_hours(age):.1f} h ago, {policy.maximum_hours:g} h is the longest"
    reasons = ["it is the planned time"] if state.planned else []
    reasons += [due] if age >= timedelta(hours=policy.maximum_hours) else []
    reasons += new.values()
    refusal = _refusal(state, policy, age)
    if reasons and not refusal:
        return RetrainingDecision(True, "; ".join(reasons), frozenset(alarms), numbers)
    waiting = f"{'; '.join(reasons)}, but {refusal}" if reasons else _calm(alarms)
    return RetrainingDecision(False, waiting, frozenset(alarms) & state.ringing, numbers)


def _alarms(state: RetrainingState, policy: RetrainingPolicy) -> Mapping[str, str]:
    """Return the alarms that ring: those that begin with their reason, those that go on with theirs, too."""
    ringing = {}
    skill, share = state.skill, state.drift_share
    if skill is None or skill.count < policy.minimum_scored:
        if SKILL in state.ringing:
            ringing[SKILL] = "live skill is not known"
    elif skill.upper < policy.poor_skill or (SKILL in state.ringing and skill.value <= policy.good_skill):
        ringing[SKILL] = f"live skill is {skill.value:+.4f} (at most {skill.upper:+.4f}) over {skill.count} forecasts"
    if share is None:
        if DRIFT in state.ringing:
            ringing[DRIFT] = "drift is not known"
    elif share >= policy.drifted_share or (DRIFT in state.ringing and share >= policy.settled_share):
        ringing[DRIFT] = f"{100 * share:.0f} % of the columns have drifted"
    return ringing


def _refusal(state: RetrainingState, policy: RetrainingPolicy, age: timedelta) -> str:
    if age < timedelta(hours=policy.minimum_hours):
        return f"the last training was {_hours(age):.1f} h ago, {policy.minimum_hours:g} h is the least"
    if state.trainings >= policy.daily_budget:
        return f"{state.trainings} trainings within 24 h have used up the budget of {policy.daily_budget}"
    return ""


def _calm(alarms: Collection[str]) -> str:
    if not alarms:
        return "no need"
    return f"no need: the alarm of {' and '.join(sorted(alarms))} was answered and is not over"


def _numbers(state: RetrainingState) -> dict[str, float]:
    found = {"trainings": float(state.trainings)}
    if state.trained_at is not None:
        found["age_hours"] = _hours(state.now - state.trained_at)
    if state.skill is not None:
        found |= {"skill": state.skill.value, "skill_lower": state.skill.lower, "skill_upper": state.skill.upper}
        found["skill_count"] = float(state.skill.count)
    if state.drift_share is not None:
        found["drift_share"] = state.drift_share
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _hours(age: timedelta) -> float:
    return age / timedelta(hours=1)
