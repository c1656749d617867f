"""What gives way, what never does, and pages that are asked for again, over the real broker and the real Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec
import pytest

from schemas.catalog import CatalogItem
from schemas.feed import FeedRequest, FeedResponse, Level
from schemas.telemetry import Context
from schemas.validity import LATEST_MS
from serving.client import FeedClient
from tests.integration.feed.conftest import Cluster, Worker

pytestmark = pytest.mark.integration


def ask(client: FeedClient, user_id: str, **fields: object) -> FeedResponse:
    """Ask once."""
    return client.ask(FeedRequest(user_id=user_id, request_id=uuid.uuid4().hex, **fields))  # type: ignore[arg-type]


def shown(answer: FeedResponse) -> list[str]:
    """The videos of an answer."""
    return [item.video_id for item in answer.items]


def test_a_small_region_goes_on_and_a_cursor_brings_its_page_again(cluster: Cluster, start: Callable[[str], Worker]) -> None:
    here = CatalogItem(video_id="adult", region="US-CA", language="en-GB", age_rating=18, fields={"badge": "new"})
    videos = [here, msgspec.structs.replace(here, video_id="later", age_rating=0, uploaded_ms=LATEST_MS)]
    videos += [msgspec.structs.replace(here, video_id=f"v{i}", age_rating=0, creator_id=f"c{i}") for i in range(15)]
    videos += [CatalogItem(video_id=f"w{i}", region="DE", creator_id=f"c{i}") for i in range(85)]
    for one in videos:
        cluster.put("catalog.items", one.video_id, one)
    assert cluster.producer.flush(20) == 0
    for name in ("feed-0", "feed-1"):
        start(name).wait_ready()
    with cluster.client(timeout=20) as client:
        pages: list[FeedResponse] = []
        while len(pages) < 20 and sum(page.exhausted for page in pages) < 2:
            pages.append(ask(client, "ann", context=Context(region="us", language="EN")))
        # A source that is out of time, as on a slow machine, leaves something for the next page; nothing repeats until all was shown.
        new = [page for page in pages if not page.exhausted]
        assert sorted(video_id for page in new for video_id in shown(page)) == sorted(f"v{i}" for i in range(15))
        assert {page.degradation_level for page in new} == {Level.FULL}
        old = pages[len(new) :]
        assert len(old) == 2
        assert all(page.degradation_level is Level.GLOBAL_POPULAR and page.exhausted for page in old)
        assert all(page.items and set(shown(page)) <= {f"v{i}" for i in range(15)} for page in old)
        assert {item.language for item in pages[0].items} == {"en"}
        assert pages[0].items[0].fields == {"badge": "new"}
        first = ask(client, "bob", limit=10)
        second = ask(client, "bob", limit=10, cursor=first.next_cursor)
        third = ask(client, "bob", limit=10)
        for _ in range(3):
            again = ask(client, "bob", limit=10, cursor=first.next_cursor)
            assert (shown(again), again.next_cursor) == (shown(second), second.next_cursor)
        assert len({*shown(first), *shown(second), *shown(third)}) == 30
