"""Dead letters: what could not be taken in, unchanged, with the reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import EpochMs

LARGEST_LETTER = 4_194_304
"""Bytes of the largest letter that `telemetry.dlq` takes: the largest record that a topic takes, as base64 in JSON, and room to spare."""


class ReasonCode(StrEnum):
    """Why a record was set aside."""

    MALFORMED = "malformed"
    WRONG_TYPE = "wrong_type"
    OVERSIZED = "oversized"
    FUTURE_DATED = "future_dated"
    IMPLAUSIBLE_TIME = "implausible_time"
    DUPLICATE = "duplicate"
    INVALID_VALUE = "invalid_value"
    EXPIRED = "expired"
    INTERNAL = "internal"


class DeadLetter(Message, frozen=True, kw_only=True):
    """A record set aside (`telemetry.dlq`; key: `topic/partition/offset/index`, so that repeats after a crash fold).

    `raw` is the whole record as it came, unchanged; `event_index` names the event of a batch that failed (-1: the record itself). Where the
    record was too large, `raw` is its beginning and `raw_size` the size of the whole; `offset` of a record that was never written is the
    CRC-32 of its value.
    """

    TYPE: ClassVar[str] = "penstock.dead_letter"

    reason: ReasonCode
    expected: str
    got: str
    path: str
    topic: str
    partition: int
    offset: int
    event_index: int = -1
    event_id: str | None = None
    attempt: int = 1
    at_ms: int
    key: bytes | None = None
    raw: bytes
    raw_size: int | None = None

    @property
    def letter_id(self) -> str:
        """The letter's key: where the failed event came from."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.event_index}"


class LetterMark(Message, frozen=True, kw_only=True):
    """What an operator did with a dead letter (`control.letters`; key: that of the letter, `topic/partition/offset/index`).

    `sent`: the record went out again, and stands at `topic`, `partition` and `offset` now. `purged`: it will not be sent again.
    """

    TYPE: ClassVar[str] = "penstock.control.letter"

    letter_id: Annotated[str, Meta(min_length=1, max_length=512)]
    action: Literal["sent", "purged"]
    at_ms: EpochMs
    topic: Annotated[str, Meta(max_length=256)] = ""
    partition: int = -1
    offset: int = -1
    reason: Annotated[str, Meta(max_length=512)] = ""
