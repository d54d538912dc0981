"""`python -m tools.image_sizes ENGINE BASE IMAGE...`: what each image adds to its base, beside what it may.

Exit code 1 when one is larger. An image is named as it was built, such as localhost/candlecast/service:dev.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

MOST_MEGABYTES: Mapping[str, int] = {
    "ingestion": 180,
    "training": 500,
    "service": 620,
    "ui": 560,
    "monitoring": 1100,
}
"""What a node has to fetch and keep for an app, without the base that all of them share."""


def main(arguments: Sequence[str]) -> int:
    """Print a line per image; return the exit code."""
    engine, base, *images = arguments
    shared = _bytes(engine, base)
    sizes = {image.rpartition("/")[2].partition(":")[0]: _bytes(engine, image) - shared for image in images}
    for app, size in sizes.items():
        print(f"{app:<11} {size / 1e6:6.0f} MB over its base, at most {MOST_MEGABYTES[app]}")  # noqa: T201
    return int(any(size > MOST_MEGABYTES[app] * 1e6 for app, size in sizes.items()))


def _bytes(engine: str, image: str) -> int:
    command = [engine, "image", "inspect", image, "--format", "{{.Size}}"]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)  # noqa: S603  # our own words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
