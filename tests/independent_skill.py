"""Recompute live skill from an exported ledger and exported candles, with nothing but Python.

`python tests/independent_skill.py LEDGER.csv CANDLES.csv HORIZON SECONDS`, where SECONDS is the length of a candle,
prints the skill over the 30 days before the newest candle's close as JSON: value, lower and upper bound, count.
"""

import csv
import json
import math
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta


def rows(path: str) -> Iterator[dict[str, str]]:
    with open(path, newline="") as file:
        yield from csv.DictReader(file)


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main(ledger: str, candles: str, horizon: int, seconds: int) -> None:
    closes = {int(row["ts"]) / 1000 + seconds: float(row["close"]) for row in rows(candles)}
    end = max(closes)
    start = end - timedelta(days=30).total_seconds()
    said: dict[str, dict[float, float]] = {"champion": {}, "baseline": {}}
    for row in sorted(rows(ledger), key=lambda row: int(row["position"])):
        if int(row["horizon"]) == horizon and row["role"] in said:
            said[row["role"]][moment(row["target_time"])] = float(row["close"])
    targets = sorted(
        target for target in said["champion"].keys() & said["baseline"].keys() & closes.keys() if start < target <= end
    )
    ours = [abs(said["champion"][target] - closes[target]) for target in targets]
    naive = [abs(said["baseline"][target] - closes[target]) for target in targets]
    ratio = sum(ours) / sum(naive)
    count, mean = len(targets), sum(naive) / len(naive)
    deviations = [(a - ratio * b) / mean for a, b in zip(ours, naive, strict=True)]
    lags = min(max(4 * (horizon - 1), int(4 * (count / 100) ** (2 / 9))), count - 1)
    total = sum(value**2 for value in deviations)
    for lag in range(1, lags + 1):
        products = (a * b for a, b in zip(deviations[lag:], deviations, strict=False))
        total += 2 * (1 - lag / (lags + 1)) * sum(products)
    half = 1.959964 * math.sqrt(total) / count
    found = {"skill": 1 - ratio, "lower": 1 - ratio - half, "upper": 1 - ratio + half, "count": count}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
