"""A whole system of its own for each module of these tests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from serving.connect import current_settings
from serving.local.home import Home
from serving.parts import choose_parts
from serving.publisher import Publisher
from serving.simulator import World
from serving.system import Wanted, down, up


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A whole system with a catalogue."""
    root = tmp_path_factory.mktemp("chaos")
    before = os.environ.get("PENSTOCK_HOME")
    os.environ["PENSTOCK_HOME"] = str(root)
    home = Home.default()
    try:
        up(home, Wanted(parts=choose_parts(), fresh=True), print)
        settings = current_settings()
        with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
            for item in World(seed=0, videos=500).catalogue(int(time.time() * 1000)):
                publisher.publish("catalog.items", item.video_id, item)
        yield home
    finally:
        down(home)
        if before is None:
            del os.environ["PENSTOCK_HOME"]
        else:
            os.environ["PENSTOCK_HOME"] = before
