"""Requests under way, and what a client counts of them."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from schemas.codec import DecodeError, decode
from schemas.feed import FeedRequest, FeedResponse
from serving.checked import checked
from serving.errors import ContractError, RequestRefused, TransportError


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

    def settle(self, value: bytes, *, requests: str, responses: str) -> bool:
        """Settle the future with what came off the response topic; tell whether that was a feed response, be it a refusal."""
        try:
            response = decode(FeedResponse, value)
        except DecodeError as error:
            self.future.set_exception(ContractError(expected="a feed response", got=str(error), where=responses))
            return False
        refusal = response.error
        if refusal is None:
            self.future.set_result(response)
        else:
            self.future.set_exception(
                RequestRefused(
                    code=refusal.code,
                    path=refusal.path,
                    expected=refusal.expected,
                    got=refusal.got,
                    where=f"{requests} {refusal.path} ({refusal.code})",
                    do=refusal.do,
                )
            )
        return True


def checked_request(request: FeedRequest) -> FeedRequest:
    """Return a request that fits its contract, with an id.

    Raises
    ------
    ContractError
        If it does not fit.
    """
    fitting = checked(request)
    return fitting if fitting.request_id is not None else msgspec.structs.replace(fitting, request_id=uuid.uuid4().hex)


def closed() -> TransportError:
    """Return the error of a request to a client that is closed, or closes before an answer came."""
    return TransportError(expected="an open client", got="a closed one", where="FeedClient", do="make a new one")
