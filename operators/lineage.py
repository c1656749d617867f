"""The lineage of an answer: all that it depended on, and what became of each candidate."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from operators.outcome import Outcome, Slot
from operators.pipeline import Pipeline
from operators.query import Query
from operators.ranking.features import FEATURE_SET, NAMES
from schemas.codec import encode
from schemas.feed import CandidateTable, FeedItem, FeedResponse, ReadState, ServedItem, ServedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a request came: its bytes, what was read of the person, and who answered it as which one, at which attempt."""

    raw: bytes
    read: ReadState
    sequence: int
    attempt: int
    worker: str
    seed: int


def lineage(query: Query, outcome: Outcome, pipeline: Pipeline, response: FeedResponse, arrival: Arrival) -> ServedRecord:
    """Return the lineage record of an answer; `response` must not carry its latency yet."""
    tables = query.tables
    ranks = [slot.rank for slot in outcome.slots]
    return ServedRecord(
        request_id=query.request_id,
        attempt=arrival.attempt,
        user_id=query.request.user_id,
        worker=arrival.worker,
        sequence=arrival.sequence,
        now_ms=query.now_ms,
        request=arrival.raw,
        read=arrival.read,
        offsets=dict(tables.offsets),
        segment_id=None if tables.segment is None else tables.segment.announced.segment_id,
        model_versions=response.model_versions,
        seed=arrival.seed,
        default_age=query.default_age,
        level=response.degradation_level,
        shadow=query.request.shadow,
        skipped=outcome.skipped,
        relaxed=list(outcome.relaxed),
        sources=list(pipeline.source_names),
        reasons=list(pipeline.reasons),
        candidates=_candidates(query, outcome),
        ranked=tables.videos.names(outcome.rows[outcome.ranked[: query.request.limit]]),
        items=[_item(item, slot) for item, slot in zip(response.items, outcome.slots, strict=True)],
        feature_set=FEATURE_SET,
        features=pipeline.scoring.values(outcome, NAMES)[:, ranks].tobytes(),
        heads=list(outcome.head_names),
        head_scores=outcome.heads[:, : len(ranks)].tobytes(),
        response_sha256=sha256(encode(response)).hexdigest(),
    )


def _candidates(query: Query, outcome: Outcome) -> CandidateTable:
    return CandidateTable(
        video_ids=_lines(query.tables.videos.names(outcome.rows)),
        sources=outcome.sources.tobytes(),
        dropped=outcome.dropped.tobytes(),
        scores=outcome.scores.tobytes(),
    )


def _item(item: FeedItem, slot: Slot) -> ServedItem:
    return ServedItem(
        video_id=item.video_id,
        rank=slot.rank,
        source=item.source,
        score=item.score,
        propensity=slot.propensity,
        explored=slot.explored,
    )


def _lines(ids: list[str]) -> str:
    """Return ids one to a line. The catalogue holds none with a line break, but records of events may; there it becomes a space."""
    lines = "\n".join(ids)
    return lines if lines.count("\n") < len(ids) else "\n".join(one.replace("\n", " ") for one in ids)
