"""Requests under way, and what a client counts of them."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from schemas.feed import FeedRequest, FeedResponse
from serving.errors import TransportError


@dataclass(slots=True)
class ClientCounts:
    """What a client has seen so far."""

    sent: int = 0
    answered: int = 0
    hedged: int = 0
    late: int = 0
    unanswered: int = 0


@dataclass(slots=True)
class Pending:
    """A request without an answer; `deadline` is monotonic seconds, `partitions` where each attempt went."""

    request: FeedRequest
    future: Future[FeedResponse]
    deadline: float
    deadline_ms: int
    partitions: list[int] = field(default_factory=list)

    def unanswered(self, topic: str) -> TransportError:
        """Return the error of a request whose deadline has passed."""
        return TransportError(
            expected="an answer in time",
            got=f"none after {len(self.partitions)} attempts",
            where=f"request {self.request.request_id} on {topic}",
            do="look at `penstock status`",
        )
