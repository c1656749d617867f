"""Answers of one worker, made again and compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from operators.feed import Answer, FeedEngine
from operators.replay.answers import Responses
from operators.replay.differences import Difference, first_difference
from operators.replay.side import NotReproducible, RecordedSide
from schemas.codec import encode
from schemas.errors import ContractError
from schemas.feed import FeedRequest, ServedRecord

TOO_LARGE = "the lineage would not have fitted its topic, so it was written without"
OTHER_SECRET = "the key of the tracking tokens is missing here or is another one: all but the tokens was compared, and is the same"


class Asking(NamedTuple):
    """A recorded request as the feed reads it."""

    request: FeedRequest
    request_id: str
    now_ms: int


class Refused(ContractError):  # noqa: N818  # what became of a request, not a fault
    """The feed of today would not take a request that was answered."""


Ask = Callable[[ServedRecord], Asking]


class Again:
    """Answers what one worker answered, in its order, by the same engine from the same state.

    Parameters
    ----------
    engine
        The engine; it must answer from the tables of `side`.
    side
        Brings the tables to where they stood.
    responses
        The recorded responses.
    ask
        Reads a recorded request as the feed does; raises `Refused` where that would not be answered.
    same_secret
        Whether the engine signs tokens with the recorded key.
    """

    def __init__(self, *, engine: FeedEngine, side: RecordedSide, responses: Responses, ask: Ask, same_secret: bool) -> None:
        self.engine = engine
        self.side = side
        self.responses = responses
        self.ask = ask
        self.same_secret = same_secret

    def difference(self, record: ServedRecord) -> Difference | None:
        """Answer once more; return the first difference, None where there is none.

        Raises
        ------
        NotReproducible
            If the recording does not hold what the answer depended on.
        """
        if record.lost:
            message = f"{TOO_LARGE} {', '.join(record.lost)}"
            raise NotReproducible(message)
        self.side.bring_to(record.offsets)
        try:
            answer = self._answer(record)
        except Refused as refused:
            return Difference(
                request_id=record.request_id, stage="request", field=refused.where, expected=refused.expected, got=refused.got
            )
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            return Difference(request_id=record.request_id, stage="answer", field="error", expected="an answer", got=got)
        return self._compared(record, answer)

    def _answer(self, record: ServedRecord) -> Answer:
        asking = self.ask(record)
        self.engine.seed, self.engine.default_age = record.seed, record.default_age
        return self.engine.answer(
            request=asking.request,
            raw=record.request,
            request_id=asking.request_id,
            read=record.read,
            now_ms=asking.now_ms,
            sequence=record.sequence,
            attempt=record.attempt,
            skip=record.skipped,
        )

    def _compared(self, record: ServedRecord, answer: Answer) -> Difference | None:
        replayed = answer.served
        if not record.heads:
            # A lineage without head scores says nothing of them.
            replayed = msgspec.structs.replace(replayed, heads=[], head_scores=b"")
        # With another key the tokens differ, and with them the response and its digest, which then say nothing.
        digest = record.response_sha256 if self.same_secret else replayed.response_sha256
        recorded = msgspec.structs.replace(record, latency_ms={}, response_sha256=digest)
        asked = record.request_id, record.attempt
        if recorded == replayed and self.responses.agrees(asked, record.response_sha256):
            if not self.same_secret:
                raise NotReproducible(OTHER_SECRET)
            return None
        then = self.responses.bytes_of(asked) if self.same_secret else None
        return first_difference(recorded, replayed, None if then is None else (then, encode(answer.response)))
