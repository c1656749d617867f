"""A sink that does something when all output before it is acknowledged: a checkpoint is written then, never earlier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from dataflows.kafka.outgoing import Outgoing
from dataflows.kafka.sink import KafkaSink, KafkaSinkPart


@dataclass(frozen=True)
class Barrier:
    """Goes with the output, behind what it waits for; `then` is called on the flow's thread."""

    then: Callable[[], None]


Item: TypeAlias = Outgoing | Barrier


class BarrierSink(FixedPartitionedSink[Sequence[Item], int]):
    """Writes to Kafka, and does at each barrier what it asks for.

    Parameters
    ----------
    sink
        Writes what is no barrier.
    """

    def __init__(self, sink: KafkaSink) -> None:
        self.sink = sink

    def list_parts(self) -> list[str]:
        """Return the one part of this process."""
        return self.sink.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _BarrierPart:
        """Return the part."""
        return _BarrierPart(self.sink.build_part(step_id, for_part, resume_state))


class _BarrierPart(StatefulSinkPartition[Sequence[Item], int]):
    def __init__(self, part: KafkaSinkPart) -> None:
        self._part = part

    def write_batch(self, values: list[Sequence[Item]]) -> None:
        """Write what comes, in order; at a barrier wait for the broker first."""
        waiting: list[Outgoing] = []
        for item in (item for items in values for item in items):
            if isinstance(item, Barrier):
                self._part.write_batch([waiting])
                waiting = []
                self._part.snapshot()
                item.then()
            else:
                waiting.append(item)
        self._part.write_batch([waiting])

    def snapshot(self) -> int:
        """Wait until all output is acknowledged; return how many messages were."""
        return self._part.snapshot()

    def close(self) -> None:
        """Wait until all output is acknowledged, and leave."""
        self._part.close()


def send_with_barriers(step_id: str, up: Stream[Item], sink: Sink[Any]) -> None:
    """Write a stream of messages and barriers: to a :class:`KafkaSink`, or as it comes to any other sink (a test's list, say).

    Parameters
    ----------
    step_id
        Unique id of the output step.
    up
        What to write.
    sink
        A :class:`KafkaSink`, or any sink of items.
    """
    if not isinstance(sink, KafkaSink):
        op.output(step_id, up, sink)
        return

    def bundle(items: list[Item]) -> list[tuple[str, list[Item]]]:
        return [("", items)] if items else []

    op.output(step_id, op.flat_map_batch(f"{step_id}_bundle", up, bundle), BarrierSink(sink))
