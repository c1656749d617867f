"""What holds when processes and brokers die: input is counted exactly, output may repeat and is never lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dataflows.kafka import KafkaSink, KafkaSource, Outgoing, Properties
from serving.local import Home, LocalKafka

if TYPE_CHECKING:
    from tests.integration.kafka.conftest import Broker

pytestmark = pytest.mark.integration

N_MESSAGES = 16_000
N_KEYS = 36  # a multiple of the 3 partitions: a key stays in one partition, so it is read again in the same order


def check_counts(inputs: list[Message], outputs: list[Message]) -> None:
    """Each input is in the output, always with the same count; the counts of a key are 1, 2, 3, ... without a hole."""
    counts: dict[str, set[int]] = {}
    for message in outputs:
        place, total = json.loads(message.value() or b"")
        counts.setdefault(place, set()).add(total)
    key_of = {f"{m.partition()}-{m.offset()}": m.key() for m in inputs}
    assert counts.keys() == key_of.keys()
    assert all(len(totals) == 1 for totals in counts.values())
    by_key: dict[bytes | None, list[int]] = {}
    for place, totals in counts.items():
        by_key.setdefault(key_of[place], []).extend(totals)
    assert {key: sorted(totals) for key, totals in by_key.items()} == {
        key: list(range(1, n + 1)) for key, n in Counter(key_of.values()).items()
    }


@pytest.mark.parametrize("program", ["count", "count_sharded"])
def test_a_flow_killed_in_mid_batch_counts_each_input_once_and_loses_no_output(
    broker: Broker, eventually: Callable[..., None], spawn: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, program: str
) -> None:
    source, target = broker.make_topic(partitions=3), broker.make_topic(partitions=2)
    broker.write(source, [(b"key-%d" % (n % N_KEYS), b"%d" % n) for n in range(N_MESSAGES)], partitions=(0, 1, 2))
    options = {"bootstrap": broker.servers, "from": source, "to": target, "group": f"g.{source}", "store": str(tmp_path / "store")}
    for more, linger_s in ((1, 60), (2_500, 0.001), (2_500, 60)):
        goal = broker.size(target) + more
        process = spawn(program, linger_s=linger_s, **options)
        eventually(lambda goal=goal: broker.size(target) >= goal, every_s=0.02)
        time.sleep(0.1)
        process.kill()
        assert process.wait(10) == -9
    process = spawn(program, linger_s=60, **options)
    eventually(lambda: sum(broker.committed(f"g.{source}").values()) == N_MESSAGES)
    process.terminate()
    assert process.wait(10) == 0
    outputs = broker.read_all(target)
    assert len(outputs) > N_MESSAGES, "nothing was repeated, so no kill came in mid-epoch"
    check_counts(broker.read_all(source), outputs)


def test_sources_and_sinks_ride_out_a_broker_that_restarts(tmp_path: Path) -> None:
    server = LocalKafka(Home(tmp_path / "home").create(), port=0)
    connection: Properties = {"bootstrap.servers": server.start()}
    try:
        admin = AdminClient(dict(connection))
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result(timeout=20)
        sink = KafkaSink(connection).build_part("out", "kafka", None)
        reader = KafkaSource(connection, ["t"], group="g").build_part("in", "kafka", None)
        seen: list[bytes | None] = []

        def read_until(n: int) -> None:
            deadline = time.monotonic() + 20
            while len(seen) < n:
                assert time.monotonic() < deadline
                seen.extend(value for batch in reader.next_batch() for value in batch.values())

        sink.write_batch([[Outgoing("t", b"k", b"before")]])
        sink.snapshot()
        read_until(1)
        server.stop()
        sink.write_batch([[Outgoing("t", b"k", b"while away")]])
        latecomer = KafkaSource(connection, ["t"], group=None, end="reached").build_part("in", "kafka", None)
        assert (latecomer.next_batch(), latecomer.snapshot()) == ([], {})
        for _ in range(20):
            assert reader.next_batch() == []
            sink.poll()
        assert server.start() == connection["bootstrap.servers"]
        sink.write_batch([[Outgoing("t", b"k", b"after")]])
        sink.snapshot()
        read_until(3)
        assert seen == [b"before", b"while away", b"after"]
        assert reader.snapshot() == {("t", 0): 3}
        with pytest.raises(StopIteration):
            while True:
                latecomer.next_batch()
        assert latecomer.snapshot() == {("t", 0): 3}
        for part in (reader, latecomer, sink):
            part.close()
    finally:
        server.stop()
