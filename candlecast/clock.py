"""A venue's clock: what "now" means for the candles of that venue."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class VenueClock:
    """Map the wall clock to the venue's: `start + speed * (wall - epoch)`.

    Live venues use `VenueClock()`, for which the venue's now is the wall clock itself.
    All times are aware UTC; `speed` is venue seconds per wall second.
    """

    start: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    epoch: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.epoch.tzinfo is None:
            raise ValueError("a venue's clock needs aware times; give start and epoch a time zone")
        if not self.speed > 0:
            raise ValueError(f"a venue's clock runs forward; speed must be above 0, not {self.speed}")

    def at(self, wall: datetime) -> datetime:
        """Return the venue's time at the wall clock's `wall`."""
        return self.start + self.speed * (wall - self.epoch)

    def now(self) -> datetime:
        """Return the venue's time at this moment."""
        return self.at(datetime.now(UTC))

    def wall_seconds_until(self, moment: datetime) -> float:
        """Return how many wall seconds pass until the venue's clock shows `moment`; below 0 when it is past."""
        return (moment - self.now()).total_seconds() / self.speed
