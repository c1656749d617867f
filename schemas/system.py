"""Systems: which one the topics of a prefix belong to."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import EpochMs


class SystemRecord(Message, frozen=True, kw_only=True):
    """Whose the topics are (`control.system`, compacted; key: "system"); written anew every few seconds while the system runs.

    `system_id` is made once for each home. `at_ms` is the clock of the machine that wrote this, so the broker's stamp of the record less
    `at_ms` is how far the two clocks differ. `running` is False once the system was stopped.
    """

    TYPE: ClassVar[str] = "penstock.control.system"

    system_id: Annotated[str, Meta(min_length=1, max_length=64)]
    host: Annotated[str, Meta(max_length=256)]
    home: Annotated[str, Meta(max_length=4_096)]
    up_since_ms: EpochMs
    at_ms: EpochMs
    running: bool = True
