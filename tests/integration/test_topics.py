"""Plans and their application on the real broker, under a prefix of their own."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import TopicSpec, load_topics
from serving.topics import apply_topics, plan_topics

pytestmark = pytest.mark.integration


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}."


def spec(**changes: object) -> TopicSpec:
    fields: dict[str, object] = {
        "name": "some.topic",
        "about": "for a test",
        "key": "user_id",
        "schema": "Event",
        "partitions": 2,
        "cleanup": "delete",
        "retention": "1d",
        "producers": (),
        "consumers": (),
    }
    return TopicSpec(**(fields | changes))  # type: ignore[arg-type]


def actions(admin: AdminClient, wanted: TopicSpec, prefix: str) -> list[str]:
    return [change.action for change in plan_topics(admin, [wanted], prefix=prefix)]


def bring(admin: AdminClient, wanted: TopicSpec, prefix: str) -> None:
    apply_topics(admin, plan_topics(admin, [wanted], prefix=prefix))


def test_after_apply_the_cluster_agrees_with_the_whole_file(admin: AdminClient, prefix: str) -> None:
    specs = load_topics().values()
    changes = plan_topics(admin, specs, prefix=prefix)
    assert {change.action for change in changes} == {"create"}
    assert len(changes) == len(specs)

    apply_topics(admin, changes)
    assert plan_topics(admin, specs, prefix=prefix) == []
    apply_topics(admin, changes)
    metadata = admin.list_topics(timeout=10).topics
    assert all(len(metadata[prefix + wanted.name].partitions) == wanted.partitions for wanted in specs)


def test_partitions_grow_and_settings_change(admin: AdminClient, prefix: str) -> None:
    bring(admin, spec(), prefix)

    larger = spec(partitions=3, retention="2d")
    assert actions(admin, larger, prefix) == ["grow", "configure"]
    bring(admin, larger, prefix)
    assert actions(admin, larger, prefix) == []


def test_partitions_are_never_taken_away(admin: AdminClient, prefix: str) -> None:
    bring(admin, spec(partitions=3), prefix)

    smaller = spec(partitions=1)
    assert actions(admin, smaller, prefix) == ["keep"]
    bring(admin, smaller, prefix)
    assert len(admin.list_topics(timeout=10).topics[prefix + "some.topic"].partitions) == 3
