from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.side.world import PartProcess

MakePart = Callable[..., PartProcess]


@pytest.fixture
def make_part(kafka: str, redis_url: str, admin: AdminClient, tmp_path: Path) -> Iterator[MakePart]:
    """Make a part: `make_part("trending", "telemetry.events", "features.trending")`."""
    made: list[PartProcess] = []

    def make(part: str, *topics: str) -> PartProcess:
        made.append(PartProcess(part, topics, bootstrap=kafka, redis_url=redis_url, admin=admin, home=tmp_path))
        return made[-1]

    yield make
    for part in made:
        part.close()
