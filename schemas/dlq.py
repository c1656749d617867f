"""Dead letters: what could not be taken in, unchanged, with the reason."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.base import Message

LARGEST_LETTER = 4_194_304
"""Bytes of the largest letter that `telemetry.dlq` takes: the largest record that a topic takes, as base64 in JSON, and room to spare."""

MAX_RAW = 2_097_152
"""Bytes of a record that its letter keeps: more than any topic takes, so that nothing is cut unless a broker was told to take more."""
MAX_KEY = 65_536


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

    `raw` is the whole record as it came, unchanged; `event_index` names the event of a batch that failed (-1: the record itself). A record
    beyond MAX_RAW keeps its first bytes, and `raw_size` says how many it had.
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
