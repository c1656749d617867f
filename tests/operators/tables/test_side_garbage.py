"""Anybody can write to a side topic: what does not fit its contract changes nothing, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.ranking.features import FEATURE_SET, N_FEATURES
from operators.tables.keyed import Keyed
from operators.tables.side import SideTables
from schemas.catalog import Moderation
from schemas.features import Pane
from schemas.learning import Objective, OnlineWeights
from tests.operators.feed_world import MINUTE, NOW_MS, counters, item, neighbours, record, tables, trending, vector

VALID = (
    item("v1", creator_id="c1", title="t", tags=("k1",), duration_ms=5_000),
    vector("v1", 3, 4, simhash=7),
    counters("v1", total=9, decayed=2.0, panes=[Pane(MINUTE, [1] * 14)], surfaces={"s": 1.0}),
    trending("global", ["v1", "v2"]),
    neighbours("v1", {"v2": 0.5, "v3": 0.25}),
    record("control.moderation", "video:v1", Moderation(kind="video", id="v1", blocked=True, at_ms=NOW_MS)),
    record("control.objective", "feed", Objective(version="o", heads={"click": 1.0})),
    record(
        "models.online",
        "online",
        OnlineWeights(
            model="online",
            version=1,
            feature_set=FEATURE_SET,
            updated_ms=NOW_MS,
            examples=1,
            heads={"click": np.ones(N_FEATURES + 1, dtype=np.float32).tobytes()},
        ),
    ),
)

numbers = st.one_of(st.integers(-(2**70), 2**70), st.sampled_from([1e308, -1.5, 2**31, 2**62, 10**400]), st.booleans())
texts = st.one_of(st.text(max_size=8), st.sampled_from(["a\nb", "x" * 129, "\x00", "video", "tag"]))
values = st.recursive(
    st.one_of(st.none(), numbers, texts), lambda inner: st.lists(inner, max_size=15) | st.dictionaries(texts, inner, max_size=3)
)


def of_rows(keyed: Keyed) -> list[Any]:
    return [keyed.ids[:], *(column.values[: len(keyed)].tolist() for column in keyed._columns)]


def fingerprint(made: SideTables) -> str:
    """All that the tables hold, but for the offsets and the count of what was rejected."""
    return repr(
        (
            [of_rows(keyed) for keyed in (made.videos, made.creators, made.tags, made.counters.surfaces)],
            {scope: [one.tolist() for one in listed] for scope, listed in made.trending._lists.items()},
            (made.neighbours._waiting, made.neighbours._lists),
            ({head: data.tolist() for head, data in made.weights.heads.items()}, made.weights.version),
            made.objective.current,
        )
    )


@st.composite
def garbled(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """A valid record of a side topic, with one thing about it changed."""
    topic, key, value = draw(st.sampled_from(VALID))
    fields = msgspec.json.decode(value or b"")
    what = draw(st.sampled_from(("key", "field", "entry", "bytes")))
    if what == "key":
        return topic, draw(st.one_of(st.binary(max_size=9), texts.map(str.encode), st.just(b"x" * 200))), value or b""
    if what == "bytes":
        return topic, key.encode(), draw(st.binary(max_size=40))
    name = draw(st.sampled_from(sorted(fields)))
    if what == "entry" and isinstance(fields[name], list) and fields[name]:
        place = draw(st.integers(0, len(fields[name]) - 1))
        fields[name] = draw(st.sampled_from((fields[name][:place], [*fields[name][:place], draw(values), *fields[name][place + 1 :]])))
    else:
        fields[name] = draw(values)
    return topic, key.encode(), json.dumps(fields).encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(garbled())
def test_a_record_that_is_rejected_changes_nothing_on_any_side_topic(one: tuple[str, bytes, bytes]) -> None:
    topic, key, value = one
    made = tables(VALID)
    before, rejected = fingerprint(made), dict(made.rejected)
    made.apply(topic, 0, 1_000, key, value)
    if made.rejected != rejected:
        assert fingerprint(made) == before
    assert made.offsets[f"{topic}/0"] == 1_001


@pytest.mark.parametrize(
    ("topic", "key", "change"),
    [
        ("features.items", "video:v1", {"totals": [9]}),
        ("features.items", "video:v1", {"panes": [[MINUTE, [1]]]}),
        ("features.items", "video:v1", {"totals": [2**70] * 14}),
        ("features.items", "video:v2", {}),
        ("features.items", "video:a\nb", {"id": "a\nb"}),
        ("features.trending", "region:DE", {}),
        ("features.trending", "global", {"video_ids": ["a\nb", "c"]}),
        ("features.trending", "global", {"scores": [1.0]}),
        ("features.neighbours", "v2", {}),
        ("features.neighbours", "v1", {"weights": []}),
        ("catalog.vectors", "v2", {}),
        ("models.online", "other", {}),
        ("control.objective", "food", {}),
        ("control.moderation", "creator:v1", {}),
    ],
)
def test_another_key_another_length_and_ids_of_two_lines_are_rejected(topic: str, key: str, change: dict[str, Any]) -> None:
    made = tables(VALID)
    before = fingerprint(made)
    fields = next(msgspec.json.decode(value or b"") for name, _, value in VALID if name == topic)
    made.apply(topic, 0, 0, key.encode(), json.dumps({**fields, **change}).encode())
    assert made.rejected == {topic: 1}
    assert fingerprint(made) == before


def test_every_valid_record_is_taken() -> None:
    assert tables(VALID).rejected == {}
