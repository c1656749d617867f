"""The features flow: recorded input, expected output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.bucketed import Pace
from dataflows.engine import run_to_end
from dataflows.features import Topics, arrivals, build
from dataflows.journal import Journal
from dataflows.kafka import Batch, Outgoing
from dataflows.kafka.shutdown import Shutdown
from dataflows.store import StoreError
from dataflows.user_sink import UserSink
from operators.profiles.features import FeatureFold
from operators.profiles.told import ProfileTold
from operators.profiles.update import UserUpdate
from operators.profiles.users import UserProfiles
from operators.windows.entities import EntityWindows
from schemas.codec import decode, unpack
from schemas.features import EntityCounters, Profile, UserState
from tests.dataflows.recordings import write_output

GOLDEN = Path(__file__).parent.parent / "golden" / "features"
TOPICS = Topics()


class Recorded(msgspec.Struct):
    """A record of an input topic, as `penstock topics tail` shows it."""

    topic: str
    partition: int
    offset: int
    value: msgspec.Raw
    key: str = ""
    stamp_ms: int = 0

    def message(self) -> Message:
        value = None if bytes(self.value) == b"null" else bytes(self.value)
        return Message(self.topic, self.partition, self.offset, self.key.encode(), value, timestamp=(2, self.stamp_ms))


def recorded() -> list[Message]:
    lines = (GOLDEN / "input.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Recorded).message() for line in lines]


def run(batches: list[Batch], counts: Counter[str], folder: Path) -> tuple[list[UserUpdate], list[Outgoing]]:
    rows: list[Any] = []
    items: list[Outgoing] = []

    def count(what: str, n: int) -> None:
        counts[what] += n

    fold = FeatureFold(users=UserProfiles(), entities=EntityWindows(), items_every=timedelta(0))
    pace = Pace(least=timedelta(0), share=1)
    ends = (TestingSource(batches), TestingSink(rows), TestingSink(items))
    flow = build(*ends, fold=fold, journal=Journal(folder), pace=pace, topics=TOPICS, count=count)
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    return [update for _, some in rows for update in some], items


def outcome(updates: list[UserUpdate], items: list[Outgoing]) -> dict[str, Any]:
    """Return the last row of each person and the last value of each key, as plain JSON."""
    users = {update.user_id: msgspec.to_builtins(unpack(UserState, update.state)) for update in updates}
    readable = {update.user_id: update.readable for update in updates}
    entities = {(one.key or b"").decode(): msgspec.to_builtins(decode(EntityCounters, one.value or b"")) for one in items}
    everything = {"users": users, "readable": readable, "items": entities}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(everything))
    return plain


def write_missing() -> None:
    """Write the expected output where there is none."""
    with TemporaryDirectory() as folder:
        write_output("features", outcome(*run([Batch(recorded())], Counter(), Path(folder))))


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_the_recorded_input_gives_the_expected_output_however_it_is_batched(size: int, tmp_path: Path) -> None:
    messages = recorded()
    counts: Counter[str] = Counter()
    updates, items = run([Batch(messages[at : at + size]) for at in range(0, len(messages), size)], counts, tmp_path)
    expected = msgspec.json.decode((GOLDEN / "output.json").read_bytes())
    got = outcome(updates, items)
    for part in ("users", "readable", "items"):
        assert got[part].keys() == expected[part].keys()
        for key, value in expected[part].items():
            assert got[part][key] == value
    assert counts == {"records": len(messages), "rejected": 1}
    assert {one.topic for one in items} == {"features.items"}


def test_a_record_that_does_not_decode_is_counted_and_the_others_go_through() -> None:
    messages = recorded()[:3]
    bad = [Message(messages[0].topic(), 0, 100, b"", value) for value in (b"{", b"\xff", b"{}", None)]
    counts: Counter[str] = Counter()

    def count(what: str, n: int) -> None:
        counts[what] += n

    taken = arrivals(Batch([*bad, *messages]), TOPICS, count)
    assert [one.offset for one in taken] == [message.offset() for message in messages]
    assert counts == {"records": 7, "rejected": 3}


def test_a_record_of_a_person_that_is_not_valid_is_counted_and_a_tombstone_clears_the_profile() -> None:
    values = [(b"u", b'{"user_id": "u", "age": 30, "region": "de"}'), (b"w", b'{"user_id": "u"}'), (b"u", b"{"), (b"", None), (b"u", None)]
    bad = [Message("users.records", 0, n, key, value, timestamp=(2, 1_700_000_000_000)) for n, (key, value) in enumerate(values)]
    counts: Counter[str] = Counter()

    def count(what: str, n: int) -> None:
        counts[what] += n

    kept, cleared = arrivals(Batch(bad), TOPICS, count)
    assert counts == {"records": 5, "rejected": 3}
    assert kept.told == ProfileTold("u", 1_700_000_000_000, Profile(region="DE", age=30, age_at_ms=1_700_000_000_000))
    assert cleared.told == ProfileTold("u", 1_700_000_000_000)
    profiles = UserProfiles()
    for one in (kept, cleared):
        profiles.on_event(one.told)  # type: ignore[arg-type]
        (update,) = profiles.on_time(0)
        assert unpack(UserState, update.state).profile == one.told.profile  # type: ignore[union-attr]


class Store:
    """A store that is away a few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.written: list[str] = []

    def write(self, updates: Sequence[UserUpdate]) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise StoreError(expected="rows to be acknowledged", got="nothing", where="the user store")
        self.written += [update.user_id for update in updates]

    def close(self) -> None: ...


def test_rows_are_written_again_until_they_are_acknowledged() -> None:
    store, spent = Store(failures=2), list[float]()
    part = UserSink(store, spent=spent.append).build_part("users", "users", None)
    part.write_batch([[UserUpdate("a", 1, b"", {}, {})], [UserUpdate("b", 1, b"", {}, {})]])
    assert store.written == ["a", "b"]
    assert len(spent) == 1


def test_a_shutdown_while_the_store_is_away_ends_the_flow_with_an_error() -> None:
    shutdown = Shutdown()
    shutdown.request()
    part = UserSink(Store(failures=1), shutdown=shutdown).build_part("users", "users", None)
    with pytest.raises(StoreError):
        part.write_batch([[UserUpdate("a", 1, b"", {}, {})]])
