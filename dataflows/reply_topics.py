"""Decides where the answer to a request goes: its topic, which must be listed and exist, and its partition, which must exist."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaException

from dataflows.envelope import Envelope
from schemas import headers
from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from schemas.partition import partition_for

REFRESH_S = 10.0
"""Topics and their partitions are looked up again this often."""
LOOK_AGAIN_S = 1.0
"""A topic or a partition that is not known is looked up at once, unless that was done less than this long ago."""

Look = Callable[[], Mapping[str, int]]


class ReplyTopics:
    """The topics that answers may go to, and how many partitions each has.

    What the cluster has is looked up at the first need and kept; a look that fails leaves what was known. Where nothing could be looked up
    yet, a listed topic counts as existing. Never answered to, whatever the list says: other topics of the system, and the broker's own.

    Parameters
    ----------
    default
        Where answers go that name no topic; always allowed.
    listed
        Other names, or prefixes that end in `*`.
    own
        Names that are never answered to.
    look
        Returns the number of partitions of each topic in the cluster; blocks for a short time at most, or raises KafkaException.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, *, default: str, listed: Sequence[str], own: Sequence[str], look: Look, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.default = default
        self.listed = listed
        self.own = frozenset(own) - {default}
        self.look = look
        self.clock = clock
        self._partitions: Mapping[str, int] = {}
        self._looked_at = float("-inf")

    def refresh(self, *, older_than_s: float = REFRESH_S) -> None:
        """Look up topics and partitions, unless that was tried less than `older_than_s` ago."""
        if self.clock() - self._looked_at < older_than_s:
            return
        try:
            self._partitions = {name: n for name, n in self.look().items() if self._is_allowed(name)}
        except KafkaException:
            pass  # the sinks tell of a broker that is away; an answer needs no more than what was known
        self._looked_at = self.clock()

    def check(self, envelope: Envelope) -> None:
        """Check that the answer can go where the request wants it.

        Raises
        ------
        DecodeError
            If the topic is not allowed or does not exist, or has no such partition.
        """
        self._partition(envelope, self._topic(envelope))

    def destination(self, envelope: Envelope, request_id: str) -> tuple[str, int]:
        """Return topic and partition of the answer; never raises.

        A partition that does not exist gives way to that of the request's id, a topic that is not allowed to the default one. -1 leaves the
        choice to the producer, which chooses alike: nothing is known of the topic yet.
        """
        try:
            topic = self._topic(envelope)
        except DecodeError:
            return self.default, self._by_id(self.default, request_id)
        try:
            partition = self._partition(envelope, topic)
        except DecodeError:
            partition = None
        return topic, self._by_id(topic, request_id) if partition is None else partition

    def _topic(self, envelope: Envelope) -> str:
        asked = headers.sent(envelope.fields, headers.REPLY_TOPIC)
        if asked is None or asked.value == self.default.encode():
            return self.default
        path, got = f"header {asked.name}", headers.shown(asked.value)
        topic = asked.value.decode(errors="replace")
        if not self._is_allowed(topic):
            expected = "one of " + ", ".join([self.default, *self.listed])
            raise DecodeError(ReasonCode.INVALID_VALUE, expected=expected, got=got, path=path)
        if self._count(topic) == 0:
            raise DecodeError(ReasonCode.INVALID_VALUE, expected="a topic that exists", got=got, path=path)
        return topic

    def _partition(self, envelope: Envelope, topic: str) -> int | None:
        asked = headers.sent(envelope.fields, headers.REPLY_PARTITION)
        if asked is None:
            return None
        partition = _number(asked.value)
        known = self._count(topic, least=0 if partition is None else partition + 1)
        if partition is not None and 0 <= partition and (known is None or partition < known):
            return partition
        expected = f"a partition of {topic}, 0 to {known - 1}" if known else "a partition in digits, or in 4 bytes, big-endian"
        got = headers.shown(asked.value) if partition is None else str(partition)
        raise DecodeError(ReasonCode.INVALID_VALUE, expected=expected, got=got, path=f"header {asked.name}")

    def _count(self, topic: str, *, least: int = 1) -> int | None:
        """Return the partitions of a topic, 0 if it does not exist; None if nothing could be looked up yet."""
        if self._partitions.get(topic, 0) < least:
            self.refresh(older_than_s=LOOK_AGAIN_S)
        return self._partitions.get(topic, 0) if self._partitions else None

    def _by_id(self, topic: str, request_id: str) -> int:
        known = self._count(topic)
        return partition_for(request_id.encode(), known) if known else -1

    def _is_allowed(self, topic: str) -> bool:
        if topic == self.default:
            return True
        matches = any(topic.startswith(name[:-1]) if name.endswith("*") else topic == name for name in self.listed)
        return matches and topic not in self.own and not topic.startswith("__")


def _number(asked: bytes) -> int | None:
    """Return a whole number in digits, or in Spring's 4 bytes; None where it is neither."""
    digits = asked.removeprefix(b"-")
    number = headers.whole(digits, default=-1)
    if number >= 0:
        return number if digits == asked else -number
    return int(struct.unpack(">i", asked)[0]) if len(asked) == 4 else None
