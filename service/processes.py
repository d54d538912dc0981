"""What the service's processes use together: read from /proc when somebody scrapes, so nothing is stale.

prometheus_client leaves its process metrics out as soon as workers share their numbers. Here the supervisor and all
that descend from it are summed. CPU time of workers that have ended stays in the sum: the kernel adds it to
the parent that waited for them, so the counter never falls when a worker is replaced.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from candlecast.metrics import (
    PROCESS_COUNT,
    PROCESS_CPU,
    PROCESS_FILES,
    PROCESS_MEMORY,
    PROCESS_NEWEST_START,
    PROCESS_THREADS,
    SERVICE_PROCESSES,
    Measured,
)

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Process:
    id: int
    parent: int
    ticks: int  # its own
    ended_ticks: int  # of its children that have ended
    threads: int
    started: int  # ticks since the machine's start
    pages: int


class ServiceProcesses(Collector):
    """Sums over the service's processes; says nothing where there is no /proc."""

    def collect(self) -> Iterable[Metric]:
        """Yield the sums."""
        root = multiprocessing.parent_process()
        processes = list(_family(root.pid if root and root.pid else os.getpid()))
        if not processes:
            return
        tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        values: dict[Measured, float] = {
            PROCESS_CPU: sum(p.ticks + p.ended_ticks for p in processes) / tick,
            PROCESS_MEMORY: sum(p.pages for p in processes) * page,
            PROCESS_THREADS: sum(p.threads for p in processes),
            PROCESS_FILES: sum(_open_files(p.id) for p in processes),
            PROCESS_COUNT: len(processes),
            PROCESS_NEWEST_START: _machine_start() + max(p.started for p in processes) / tick,
        }
        for metric in SERVICE_PROCESSES:
            family = metric.family()
            family.add_metric([], values[metric])
            yield family

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not read /proc."""
        return []


def _family(root: int) -> Iterator[_Process]:
    """Yield the process `root` and all its descendants."""
    children: dict[int, list[_Process]] = {}
    for entry in _PROC.glob("[0-9]*"):
        if process := _read(int(entry.name)):
            children.setdefault(process.parent, []).append(process)
    found = [process for process in [_read(root)] if process]
    while found:
        process = found.pop()
        yield process
        found += children.get(process.id, [])


def _read(number: int) -> _Process | None:
    """Return what /proc says of one process, None for one that is gone."""
    try:
        content = (_PROC / str(number) / "stat").read_text()
    except OSError:
        return None
    # After the name, which is in brackets and may hold anything: state, parent, ... as proc(5) numbers them from 3 on.
    fields = content.rpartition(")")[2].split()
    parent, threads, started, pages = (int(fields[place]) for place in (1, 17, 19, 21))
    own, ended = (sum(map(int, fields[place : place + 2])) for place in (11, 13))
    return _Process(number, parent, own, ended, threads, started, max(0, pages))


def _machine_start() -> int:
    lines = (_PROC / "stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))


def _open_files(number: int) -> int:
    try:
        return len(os.listdir(_PROC / str(number) / "fd"))
    except OSError:
        return 0
