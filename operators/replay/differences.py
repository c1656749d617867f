"""The first thing in which a replayed answer differs from the recorded one: stage, field, what was and what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

import msgspec
import numpy as np

from operators.chain import feed_pipeline
from operators.pipeline import OVER_BUDGET
from schemas.codec import DecodeError, decode
from schemas.feed import FeedResponse, ServedRecord

SHOWN = 120
_NOTHING = "nothing"

_STATE = (
    "user_id",
    "now_ms",
    "shadow",
    "seed",
    "default_age",
    "offsets",
    "segment_id",
    "model_versions",
    "experiment_arms",
    "feature_set",
    "sources",
    "reasons",
)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replayed answer first left the recorded one; values are shortened to SHOWN characters."""

    request_id: str
    stage: str
    field: str
    expected: str
    got: str


Look = Callable[[ServedRecord], Any]


def _checks(recorded: ServedRecord) -> list[tuple[str, str, Look]]:
    """Return stage, field and how to look at it, in the order in which one thing leads to the next."""
    stages = feed_pipeline()
    ranking = {stage.name for stage in (*stages.scoring.hydrators, *stages.scoring.scorers)}
    elsewhere = {*recorded.reasons, *ranking, stages.selector.name}
    filters = recorded.reasons.index(OVER_BUDGET) + 1 if OVER_BUDGET in recorded.reasons else len(recorded.reasons)
    return [
        *(("state", name, _named(name)) for name in _STATE),
        ("retrieve", "skipped", lambda served: [name for name in served.skipped if name not in elsewhere]),
        ("retrieve", "candidates.video_ids", lambda served: served.candidates.video_ids.split("\n")),
        ("retrieve", "candidates.sources", lambda served: _array(served.candidates.sources, "<u2")),
        ("filter", "skipped", lambda served: [name for name in served.skipped if name in recorded.reasons]),
        ("filter", "relaxed", _named("relaxed")),
        ("filter", "candidates.dropped", lambda served: [code if code <= filters else 0 for code in served.candidates.dropped]),
        ("rank", "skipped", lambda served: [name for name in served.skipped if name in ranking]),
        ("rank", "candidates.scores", lambda served: _array(served.candidates.scores, "<f4")),
        ("rank", "ranked", _named("ranked")),
        ("rerank", "skipped", lambda served: stages.selector.name in served.skipped),
        ("rerank", "candidates.dropped", lambda served: list(served.candidates.dropped)),
        ("rerank", "items", _named("items")),
        ("rank", "features", lambda served: _array(served.features, "<f4")),
        ("rank", "heads", _named("heads")),
        ("rank", "head_scores", lambda served: _array(served.head_scores, "<f4")),
        ("response", "level", _named("level")),
    ]


def first_difference(recorded: ServedRecord, replayed: ServedRecord, response: tuple[bytes, bytes] | None = None) -> Difference:
    """Name the first difference of two answers that are not the same.

    Parameters
    ----------
    recorded, replayed
        The lineage then and now, without latencies.
    response
        The bytes of the response then and now, without latencies, where the recorded ones are there.
    """
    for stage, field, look in _checks(recorded):
        found = _unequal(field, look(recorded), look(replayed))
        if found is not None:
            return _difference(recorded, stage, found)
    if response is not None and response[0] != response[1]:
        return _difference(recorded, "response", _in_response(*response))
    for field in ServedRecord.__struct_fields__:
        found = _unequal(field, getattr(recorded, field), getattr(replayed, field))
        if found is not None:
            return _difference(recorded, "response" if field == "response_sha256" else "lineage", found)
    return _difference(recorded, "response", ("bytes", "those that the lineage names", "others"))


def _difference(recorded: ServedRecord, stage: str, found: tuple[str, Any, Any]) -> Difference:
    field, expected, got = found
    return Difference(request_id=recorded.request_id, stage=stage, field=field, expected=_short(expected), got=_short(got))


def _in_response(recorded: bytes, replayed: bytes) -> tuple[str, Any, Any]:
    try:
        before, after = decode(FeedResponse, recorded), decode(FeedResponse, replayed)
    except DecodeError:
        return "encoding", recorded, replayed
    return _unequal("", before, after) or ("encoding", recorded, replayed)


def _unequal(path: str, expected: Any, got: Any) -> tuple[str, Any, Any] | None:
    """Return the path and values of the first difference inside two values, None where they are the same (NaN equals NaN)."""
    if expected == got or (_is_nan(expected) and _is_nan(got)):
        return None
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(expected, msgspec.Struct) and type(expected) is type(got):
        pairs = [(f"{path}.{name}".lstrip("."), getattr(expected, name), getattr(got, name)) for name in expected.__struct_fields__]
    elif isinstance(expected, Mapping) and isinstance(got, Mapping):
        keys = sorted({*expected, *got})
        pairs = [(f"{path}[{key}]", expected.get(key, _NOTHING), got.get(key, _NOTHING)) for key in keys]
    elif _is_list(expected) and _is_list(got):
        most = max(len(expected), len(got))
        pairs = [(f"{path}[{i}]", _at(expected, i), _at(got, i)) for i in range(most)]
    for pair in pairs:
        found = _unequal(*pair)
        if found is not None:
            return found
    return None if pairs else (path, expected, got)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else _NOTHING


def _array(data: bytes, kind: str) -> list[Any]:
    size = np.dtype(kind).itemsize
    return list(data) if len(data) % size else np.frombuffer(data, dtype=kind).tolist()


def _named(name: str) -> Look:
    return lambda served: getattr(served, name)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
