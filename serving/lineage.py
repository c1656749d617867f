"""Reads lineage records off `feed.served` as they come."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from schemas.feed import ServedRecord
from schemas.settings import Settings
from serving.errors import TransportError
from serving.topic_reader import TopicReader, decoded_all

TOPIC = "feed.served"


class ServedTail:
    """Follows `feed.served` from the moment it is made.

    Parameters
    ----------
    settings : Settings
        How to reach the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic_prefix + TOPIC
        self._reader = TopicReader(settings, [TOPIC], start="latest")

    def poll(self, timeout: float) -> list[ServedRecord]:
        """Return the records that came within `timeout` seconds, as soon as there are some; what is no lineage is passed over."""
        return list(decoded_all(ServedRecord, (message for _, message in self._reader.poll(timeout))))

    def wait_for(self, request_id: str, *, timeout: float) -> ServedRecord:
        """Return the lineage of one request.

        Raises
        ------
        TransportError
            If it does not come in time.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for record in self.poll(min(left, 0.2)):
                if record.request_id == request_id:
                    return record
        raise TransportError(expected=f"the lineage of request {request_id}", got=f"none in {timeout} s", where=self._topic)

    def close(self) -> None:
        """Stop following."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
