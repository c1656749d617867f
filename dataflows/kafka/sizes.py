"""Keeps each record within what its topic takes: too large a one is cut by its contract's rule, or a dead letter goes out in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from zlib import crc32

import msgspec

from dataflows.kafka.outgoing import Outgoing, outgoing_letter
from schemas.codec import DecodeError, decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.fitting import BEGINNING_BYTES, fit
from schemas.registry import MESSAGES
from schemas.topics import FRAMING_BYTES, TopicSpec

LETTERS = "telemetry.dlq"
HEADER_BYTES = 10
"""Length prefixes of one header, at most."""


class Sizes:
    """What each topic takes, and what becomes of a record that is larger.

    Parameters
    ----------
    specs
        The topics of the system.
    prefix
        Stands in front of every name in the cluster.
    count
        Called with the topic's name in topics.yaml for each record that was too large.
    now_ms
        The clock of the letters.
    """

    def __init__(
        self,
        specs: Iterable[TopicSpec],
        *,
        prefix: str,
        count: Callable[[str], None],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.specs = {prefix + spec.name: spec for spec in specs}
        self.letters = prefix + LETTERS
        self.count = count
        self.now_ms = now_ms
        self._limits = {name: spec.record_bytes for name, spec in self.specs.items()}

    @property
    def request_bytes(self) -> int:
        """What a producer must be allowed to send, in bytes: the largest record of any topic, and what stands around it."""
        return max(self._limits.values()) + FRAMING_BYTES

    def fit(self, item: Outgoing) -> Outgoing:
        """Return what is written: the item, a shorter one, or a dead letter with the item's tag. Other systems' topics are not judged."""
        limit = self._limits.get(item.topic)
        size = record_bytes(item)
        if limit is None or size <= limit:
            return item
        self.count(self.specs[item.topic].name)
        return self._cut(item, limit - size + len(item.value or b"")) or self.fit(self._letter(item, size, limit))

    def _cut(self, item: Outgoing, limit: int) -> Outgoing | None:
        try:
            message = decode(MESSAGES[self.specs[item.topic].schema], item.value or b"")
        except DecodeError:
            return None
        fitted = fit(message, limit)
        return None if fitted is None else msgspec.structs.replace(item, value=encode(fitted[0]))

    def _letter(self, item: Outgoing, size: int, limit: int) -> Outgoing:
        value = item.value or b""
        letter = DeadLetter(
            reason=ReasonCode.OVERSIZED,
            expected=f"at most {limit} bytes of key, value and headers",
            got=str(size),
            path="$",
            topic=item.topic,
            partition=item.partition,
            offset=crc32(value),
            at_ms=self.now_ms(),
            key=(item.key or b"")[:BEGINNING_BYTES],
            raw=value[:BEGINNING_BYTES],
            raw_size=len(value),
        )
        return outgoing_letter(self.letters, letter, tag=item.tag)


def record_bytes(item: Outgoing) -> int:
    """Return the bytes of an item's key, value and headers."""
    around = sum(len(name.encode()) + len(value) + HEADER_BYTES for name, value in item.headers)
    return len(item.key or b"") + len(item.value or b"") + around
