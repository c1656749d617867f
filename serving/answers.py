"""Writes answers to a file as JSON lines, the ranker's own order joined in from the lineage."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from schemas.feed import FeedRequest, FeedResponse, ServedRecord
from schemas.settings import Settings
from serving.lineage import ServedTail
from serving.score import Answer

_POLL_S = 0.1
_UNCLAIMED = 10_000


class AnswerFile:
    """Joins answers with their lineage by request id; a line is written once both have come.

    Requests of others are on the lineage topic too: of those, the newest 10,000 are kept in case their answer is still to come.
    `without_lineage` counts lines written at the end with an empty `ranked`, because no lineage came.

    Parameters
    ----------
    settings : Settings
        Where the broker is.
    path : Path
        The file; it is written anew.
    """

    def __init__(self, settings: Settings, path: Path) -> None:
        self.path = path
        self.written = 0
        self.without_lineage = 0
        self._tail = ServedTail(settings)
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[FeedRequest, FeedResponse, float]] = {}
        self._ranked: OrderedDict[str, list[str]] = OrderedDict()
        self._closing = threading.Event()
        self._file = path.open("wb")
        self._thread = threading.Thread(target=self._follow, name="answers", daemon=True)
        self._thread.start()

    def on_answer(self, request: FeedRequest, response: FeedResponse, latency_ms: float) -> None:
        """Take in an answer."""
        with self._lock:
            ranked = self._ranked.pop(response.request_id, None)
            if ranked is None:
                self._answers[response.request_id] = (request, response, latency_ms)
            else:
                self._write(request, response, latency_ms, ranked)

    def _follow(self) -> None:
        while not self._closing.is_set():
            for record in self._tail.poll(_POLL_S):
                self._on_served(record)

    def _on_served(self, record: ServedRecord) -> None:
        with self._lock:
            answer = self._answers.pop(record.request_id, None)
            if answer is None:
                self._ranked[record.request_id] = record.ranked
                if len(self._ranked) > _UNCLAIMED:
                    self._ranked.popitem(last=False)
            else:
                self._write(*answer, record.ranked)

    def _write(self, request: FeedRequest, response: FeedResponse, latency_ms: float, ranked: list[str]) -> None:
        line = Answer(
            request_id=response.request_id,
            user_id=request.user_id,
            ts_ms=response.now_ms,
            tab=None if request.context is None else request.context.surface,
            items=[item.video_id for item in response.items],
            ranked=ranked[: request.limit],
            level=response.degradation_level.value,
            latency_ms=round(latency_ms, 3),
        )
        self._file.write(msgspec.json.encode(line) + b"\n")
        self.written += 1

    def close(self, *, timeout: float = 10.0) -> None:
        """Wait for the lineage that is still under way, and write what has none as it is."""
        deadline = time.monotonic() + timeout
        while self._answers and time.monotonic() < deadline:
            time.sleep(0.05)
        self._closing.set()
        self._thread.join()
        with self._lock:
            for request, response, latency_ms in self._answers.values():
                self._write(request, response, latency_ms, [])
            self.without_lineage += len(self._answers)
            self._answers.clear()
        self._file.close()
        self._tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
