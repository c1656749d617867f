"""Metrics and readiness over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from dataflows.endpoint import Endpoint, PartitionLag


class Work:
    """Whether the process works, and where it listens."""

    def __init__(self) -> None:
        self.ready = False
        self.waiting = {("telemetry.raw", 2): 5}
        registry = CollectorRegistry()
        Gauge("some", "A number.", registry=registry).set(3)
        registry.register(PartitionLag(lambda: self.waiting))
        self.endpoint = Endpoint(host="127.0.0.1", port=0, registry=registry, is_ready=lambda: self.ready)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.endpoint.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.endpoint.close()


def test_it_is_ready_while_the_process_does_its_work(work: Work) -> None:
    assert work.get("/ready") == (503, "not ready\n")
    work.ready = True
    assert work.get("/ready") == (200, "ready\n")


def test_metrics_hold_what_waits_on_each_partition_at_this_moment(work: Work) -> None:
    work.waiting[("telemetry.raw", 3)] = 1
    status, text = work.get("/metrics")
    assert status == 200
    assert "some 3.0" in text
    assert 'penstock_partition_lag{partition="2",topic="telemetry.raw"} 5.0' in text
    assert 'penstock_partition_lag{partition="3",topic="telemetry.raw"} 1.0' in text


def test_any_other_path_is_named_as_unknown(work: Work) -> None:
    assert work.get("/florble") == (404, "expected /metrics or /ready\n")
