"""What a barrier asks for is done when all output before it is acknowledged, and before any output behind it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dataflows.barrier import Barrier, BarrierSink
from dataflows.kafka import KafkaSink, Outgoing
from dataflows.kafka.sink import KafkaSinkPart


class Written(KafkaSinkPart):
    """Takes note of what a producer would be told; a broker that is away fails its flush."""

    def __init__(self, did: list[str], *, fails: bool = False) -> None:
        self.did = did
        self.fails = fails

    def write_batch(self, values: list[Sequence[Outgoing]]) -> None:
        self.did += [str(item.topic) for items in values for item in items]

    def snapshot(self) -> int:
        if self.fails:
            raise TimeoutError
        self.did.append("acknowledged")
        return len(self.did)

    def close(self) -> None:
        self.did.append("closed")


def part(did: list[str], monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> Any:
    sink = KafkaSink({"bootstrap.servers": "127.0.0.1:1"})
    monkeypatch.setattr(sink, "build_part", lambda *_: Written(did, fails=fails))
    return BarrierSink(sink).build_part("out", "kafka", None)


def out(topic: str) -> Outgoing:
    return Outgoing(topic, b"k", b"v")


def test_a_barrier_waits_for_what_is_before_it_and_holds_back_what_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    made = part(did, monkeypatch)
    made.write_batch([[out("a"), Barrier(lambda: did.append("saved")), out("b")], [out("c")]])
    made.close()
    assert did == ["a", "acknowledged", "saved", "b", "c", "closed"]


def test_where_the_broker_acknowledges_nothing_nothing_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    with pytest.raises(TimeoutError):
        part(did, monkeypatch, fails=True).write_batch([[out("a"), Barrier(lambda: did.append("saved"))]])
    assert did == ["a"]
