"""Defines the inputs of ingest: raw records, the candidates for events in them, and changes of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from schemas.catalog import CatalogItem
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import RawEvent

MAX_COPIED_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of `telemetry.raw` as it came; `received_ms` is the broker's stamp, `attempt` counts re-drives from 1."""

    topic: str
    partition: int
    offset: int
    received_ms: int
    key: bytes | None
    value: bytes | None
    attempt: int = 1

    def letter(self, reason: ReasonCode, *, expected: str, got: str, path: str, index: int = -1, event_id: str | None = None) -> DeadLetter:
        """Return the dead letter of this record, or of one of its events."""
        return DeadLetter(
            reason=reason,
            expected=expected,
            got=got,
            path=path,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            event_index=index,
            event_id=event_id,
            attempt=self.attempt,
            at_ms=self.received_ms,
            key=self.key,
            raw=self.value or b"",
        )

    def bounded(self, letters: list[DeadLetter]) -> list[DeadLetter]:
        """Return one letter for the whole record where a letter for each of its events would copy it too often."""
        if len(letters) * len(self.value or b"") <= MAX_COPIED_BYTES:
            return letters
        first = letters[0]
        found = f"{len(letters)} that cannot be taken, the first: {first.got}"
        return [self.letter(first.reason, expected=f"events that can be taken ({first.expected})", got=found, path=first.path)]


class Candidate(NamedTuple):
    """An event that is right by itself, at a place of its record: its value is a number, its context holds nothing personal."""

    record: RawRecord
    place: int
    user_id: str
    device_id: str | None
    event: RawEvent
    value: float | None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is in one raw record: candidates in order, letters for what cannot be taken in, how many fields of contexts were cut."""

    candidates: list[Candidate]
    letters: list[DeadLetter]
    cut: int = 0


class Upsert(NamedTuple):
    """A change of the catalogue; `item` is None where the video was deleted."""

    video_id: str
    item: CatalogItem | None
