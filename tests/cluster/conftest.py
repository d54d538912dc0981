"""One installation of the trial topology for all tests here, and a pod to call it from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.rig import VALUES, Caller, Rig

# Nothing here is collected by `make test`: it needs a cluster.
collect_ignore_glob = [] if os.environ.get("CANDLECAST_TEST_CLUSTER") else ["test_*.py"]

NAMESPACE = "candlecast-test"
CALLERS = "candlecast-test-callers"


@dataclass(frozen=True)
class Installation:
    """A running release and how long it took."""

    rig: Rig
    caller: Caller
    installed_at: float
    seconds_to_forecast: float
    first_status: str


@pytest.fixture(scope="session")
def rig() -> Rig:
    """Return the namespace that everything is tried in."""
    return Rig(NAMESPACE)


@pytest.fixture(scope="session")
def installation(rig: Rig) -> Iterator[Installation]:
    """Install the chart as a newcomer would, and wait for the first forecast.

    CANDLECAST_KEEP leaves the installation behind, CANDLECAST_REUSE goes on with one that was left.
    """
    caller = Caller(Rig(CALLERS), rig.address("service", 3000))
    begin = time.monotonic()
    if not os.environ.get("CANDLECAST_REUSE"):
        for namespace in (NAMESPACE, CALLERS):
            Rig(namespace).fresh_namespace()
        caller.start()
        begin = time.monotonic()
        rig.helm("install", rig.release, "helm/candlecast", "--values", VALUES)
    first = caller.wait_for_forecast(300)
    yield Installation(rig, caller, begin, time.monotonic() - begin, first)
    if not os.environ.get("CANDLECAST_KEEP"):
        rig.uninstall()
        for namespace in (NAMESPACE, CALLERS):
            Rig(namespace).kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def caller(installation: Installation) -> Caller:
    """Return the pod that calls the installation."""
    return installation.caller
