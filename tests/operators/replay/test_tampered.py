"""Whatever is changed in a recording is found, and named by stage and field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from operators.pipeline import OVER_BUDGET
from operators.replay.again import OTHER_SECRET
from schemas.codec import decode, encode
from schemas.feed import FeedResponse, ServedRecord
from tests.operators.replay.runs import first, run


def _candidates(record: ServedRecord, **changed: object) -> ServedRecord:
    return msgspec.structs.replace(record, candidates=msgspec.structs.replace(record.candidates, **changed))


def _other_ids(record: ServedRecord) -> ServedRecord:
    ids = record.candidates.video_ids.split("\n")
    return _candidates(record, video_ids="\n".join([*ids[:5], "v-none", *ids[6:]]))


def _dropped(record: ServedRecord, code: int) -> ServedRecord:
    dropped = record.candidates.dropped
    place = dropped.index(0)
    return _candidates(record, dropped=dropped[:place] + bytes([code]) + dropped[place + 1 :])


def _scores(record: ServedRecord) -> ServedRecord:
    data = bytearray(record.candidates.scores)
    place = 4 * record.candidates.dropped.index(0)
    data[place] ^= 1
    return _candidates(record, scores=bytes(data))


def _item(record: ServedRecord) -> ServedRecord:
    items = list(record.items)
    items[2] = msgspec.structs.replace(items[2], propensity=0.123)
    return msgspec.structs.replace(record, items=items)


def _features(record: ServedRecord) -> ServedRecord:
    return msgspec.structs.replace(record, features=b"\0\0\x80\x3f" + record.features[4:])


def _replaced(**changed: object) -> Callable[[ServedRecord], ServedRecord]:
    return lambda record: msgspec.structs.replace(record, **changed)


TAMPERED: list[tuple[str, str, Callable[[ServedRecord], ServedRecord]]] = [
    ("state", "model_versions[online]", lambda one: msgspec.structs.replace(one, model_versions=one.model_versions | {"online": "1000"})),
    ("state", "segment_id", _replaced(segment_id="another")),
    ("state", "now_ms", lambda one: msgspec.structs.replace(one, request=_asked_at(one))),
    ("retrieve", "skipped[0]", _replaced(skipped=["no such source"])),
    ("retrieve", "candidates.video_ids[5]", _other_ids),
    ("retrieve", "candidates.sources[0]", lambda one: _candidates(one, sources=b"\xff\x0f" + one.candidates.sources[2:])),
    ("filter", "candidates.dropped", lambda one: _dropped(one, one.reasons.index(OVER_BUDGET))),
    ("rank", "candidates.scores", _scores),
    ("rank", "ranked[0]", lambda one: msgspec.structs.replace(one, ranked=[one.ranked[1], one.ranked[0], *one.ranked[2:]])),
    ("rank", "features[0]", _features),
    ("rank", "heads[0]", lambda one: msgspec.structs.replace(one, heads=["another", *one.heads[1:]])),
    ("rank", "head_scores[0]", lambda one: msgspec.structs.replace(one, head_scores=bytes(4) + one.head_scores[4:])),
    ("rank", "candidates.scores[0]", _replaced(skipped=["features"])),
    ("rerank", "candidates.dropped", lambda one: _dropped(one, len(one.reasons))),
    ("rerank", "items[2].propensity", _item),
    ("response", "response_sha256", _replaced(response_sha256="0" * 64)),
    ("response", "level", _replaced(level="user_cache")),
    ("request", "$", _replaced(request=b"no json")),
]


def _asked_at(record: ServedRecord) -> bytes:
    return encode(msgspec.convert(msgspec.json.decode(record.request) | {"ts_ms": record.now_ms - 5}, _RequestLike))


class _RequestLike(msgspec.Struct, omit_defaults=True):
    user_id: str
    ts_ms: int
    request_id: str | None = None
    limit: int = 20


@pytest.mark.parametrize(("stage", "field", "change"), TAMPERED)
def test_a_changed_field_of_the_lineage_is_found_and_named(
    tmp_path: Path, stage: str, field: str, change: Callable[[ServedRecord], ServedRecord]
) -> None:
    made = run(tmp_path / "run")
    records = [decode(ServedRecord, one.value or b"") for one in made.topics["feed.served/0"]]
    nth = next(n for n, one in enumerate(records) if len(one.items) > 4 and not one.skipped and one.read.available)
    request_id = made.tamper(change, nth=nth)
    made.save()
    report = made.replay()
    assert (report.requests, report.mismatches) == (40, 1)
    assert not report.same
    found = first(report)
    assert found[:2] == (request_id, stage)
    assert found[2].startswith(field)
    assert report.stages == {f"{stage}: {found[2].partition('[')[0]}": 1}


def test_a_changed_field_of_the_response_is_found_and_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run")

    def retitled(response: FeedResponse) -> FeedResponse:
        items = [*response.items[:3], msgspec.structs.replace(response.items[3], title="another"), *response.items[4:]]
        return msgspec.structs.replace(response, items=items)

    request_id = made.tamper_response(retitled)
    made.save()
    report = made.replay()
    assert report.mismatches == 1
    assert first(report) == (request_id, "response", "items[3].title")
    assert report.first_mismatch is not None
    assert report.first_mismatch.expected == "another"


def test_the_latency_of_a_response_is_not_compared(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=12)
    made.tamper_response(lambda response: msgspec.structs.replace(response, latency_ms={"total": 9e9}))
    made.save()
    assert made.replay().same


def test_a_changed_side_record_shows_in_the_answers_after_it(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    weights = made.topics["models.online"]
    weights[0] = weights[0]._replace(value=None)
    made.save()
    report = made.replay()
    assert 0 < report.mismatches < report.requests
    assert list(report.stages) == ["state: model_versions"]


@pytest.mark.parametrize("tells_secret", [True, False])
def test_another_token_key_is_said_and_all_but_the_tokens_is_compared(tmp_path: Path, tells_secret: bool) -> None:
    made = run(tmp_path / "run", answers=15)
    made.tamper(_other_ids)
    made.save(tells_secret=tells_secret)
    for secret in (b"another secret!!", None):
        report = made.replay(secret=secret)
        assert (report.mismatches, report.reasons) == (1, {OTHER_SECRET: 14})
        assert first(report)[1:] == ("retrieve", "candidates.video_ids[5]")
        assert not report.same
