"""kcat from Debian asks for a feed and reads the answer: any Kafka client in any language can."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.integration.feed.conftest import Cluster, Worker

Start = Callable[[str], Worker]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (apt-get install kcat)"),
]


def _kcat(*words: str, line: str = "") -> str:
    return subprocess.run(["kcat", *words], input=line, text=True, capture_output=True, timeout=60, check=True).stdout


def test_kcat_alone_gets_a_feed(cluster: Cluster, start: Start) -> None:
    cluster.catalogue(50)
    start("feed-0").wait_ready()
    broker, prefix = cluster.settings.bootstrap_servers, cluster.settings.topic_prefix
    _kcat("-P", "-b", broker, "-t", f"{prefix}feed.requests", line='{"user_id": "42"}\n')
    answer = json.loads(_kcat("-C", "-b", broker, "-t", f"{prefix}feed.responses", "-c", "1", "-q"))
    assert answer["user_id"] == "42"
    assert answer.get("error") is None
    assert len({item["video_id"] for item in answer["items"]}) == 20


def test_kcat_hears_what_is_wrong_with_its_request(cluster: Cluster, start: Start) -> None:
    cluster.catalogue(5)
    start("feed-0").wait_ready()
    broker, prefix = cluster.settings.bootstrap_servers, cluster.settings.topic_prefix
    _kcat("-P", "-b", broker, "-t", f"{prefix}feed.requests", line='{"user_id": "42", "limit": 1000}\n')
    answer = json.loads(_kcat("-C", "-b", broker, "-t", f"{prefix}feed.responses", "-c", "1", "-q"))
    assert "limit" in answer["error"]["path"]
    letter = json.loads(_kcat("-C", "-b", broker, "-t", f"{prefix}telemetry.dlq", "-c", "1", "-q"))
    assert letter["topic"].endswith("feed.requests")
