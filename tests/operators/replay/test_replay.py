from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from operators.pipeline import OVER_BUDGET
from operators.replay.again import OTHER_SECRET
from operators.replay.manifest import RecordingError
from operators.replay.run import NO_LINEAGE, Report
from schemas.codec import decode, encode
from schemas.feed import FeedResponse, ServedRecord
from tests.operators.feed_world import counters
from tests.operators.replay.recorded import Run


def run(folder: Path, *, seed: int = 0, answers: int = 40) -> Run:
    made = Run(folder, seed)
    made.live(answers)
    return made


def served(made: Run) -> list[ServedRecord]:
    return [decode(ServedRecord, one.value or b"") for topic, records in made.topics.items() if "served" in topic for one in records]


def first(report: Report) -> tuple[str, str, str]:
    assert report.first_mismatch is not None
    return report.first_mismatch.request_id, report.first_mismatch.stage, report.first_mismatch.field


@pytest.mark.parametrize("seed", range(4))
def test_answers_made_while_weights_moved_and_segments_swapped_come_out_the_same(tmp_path: Path, seed: int) -> None:
    made = run(tmp_path / "run", seed=seed, answers=90)
    made.save()
    report = made.replay()
    assert report.first_mismatch is None
    assert (report.requests, report.mismatches, report.not_reproducible, report.by_digest) == (90, 0, 0, 0)
    assert report.same
    records = served(made)
    assert len({one.model_versions["online"] for one in records}) > 10
    assert len({one.segment_id for one in records}) >= 2
    assert len({tuple(sorted(one.offsets.items())) for one in records}) > 80
    assert any(not one.read.available for one in records)
    assert {name for one in records for name in one.skipped} >= {"vector", "rerank", "seen"}
    assert any(one.relaxed for one in records)
    assert {one.default_age for one in records} == {12, 17}
    assert "repeated" in {item.source for one in records for item in one.items}


def test_a_worker_that_came_back_under_its_old_name_is_replayed_too(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    made.live(20, names=("feed-0",))
    for _ in range(30):
        made.move()
    again = made.start("feed-0")
    for _ in range(10):
        made.move()
        made.catch_up(again)
        made.answer(again)
    made.save()
    report = made.replay()
    assert (report.requests, report.mismatches, report.reasons) == (30, 0, {})
    assert report.workers == {"feed-0": 30}


def test_a_request_that_two_workers_answered_is_replayed_twice(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    one, other = made.start("feed-0@1"), made.start("feed-1@1")
    made.answer(one, request_id="hedged", attempt=1)
    for _ in range(40):
        made.move()
    made.catch_up(other, share=1.0)
    made.answer(other, request_id="hedged", attempt=2)
    made.save()
    report = made.replay()
    assert (report.requests, report.mismatches, report.by_digest) == (2, 0, 0)


def test_part_of_a_recording_can_be_replayed(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    made.save()
    whole = made.replay()
    assert made.replay(limit=7).requests == 7
    one = made.replay(worker="feed-1")
    assert one.workers == {"feed-1@1": whole.workers["feed-1@1"]}
    assert made.replay(worker="feed-9").requests == 0
    assert not made.replay(worker="feed-9").same


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


def test_side_records_that_are_not_there_are_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    made.save(leave_out=("features.neighbours",), ends={"features.items": 200})
    report = made.replay()
    assert report.mismatches == 0
    assert report.not_reproducible == report.requests
    assert not report.same
    assert "features.neighbours/0 is not in the recording" in report.reasons


def test_an_answer_past_the_end_of_a_side_topic_is_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    end = len(made.topics["models.online"]) // 2
    made.save(ends={"models.online": end})
    report = made.replay()
    assert report.mismatches == 0
    assert report.reasons == {f"models.online/0 is recorded up to offset {end}, the answer had seen more": report.not_reproducible}
    assert 0 < report.not_reproducible < report.requests


def test_answers_from_what_compaction_took_are_named_and_later_ones_replayed(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=60)
    records = made.topics["models.online"]
    cleaned = 2 * len(records) // 3
    made.compact("models.online", cleaned)
    manifest = made.save()
    (part,) = manifest.of("models.online")
    assert (part.missing, part.whole_from) == (cleaned - 1, cleaned)
    report = made.replay()
    assert report.mismatches == 0
    assert 0 < report.not_reproducible < report.requests
    assert len(report.reasons) == 1
    assert "models.online/0 was compacted" in next(iter(report.reasons))


def test_compaction_below_all_answers_changes_nothing(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    for _ in range(200):
        made.move()
    end = len(made.topics["features.items"])
    for total in (1, 2):
        made.side(*counters("v3", total=total))
    made.live(20)
    made.compact("features.items", end)
    for name in ("v1", "v2"):
        made.side("features.items", f"video:{name}", None)
    made.save()
    assert made.replay().same


def test_a_segment_without_files_is_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    made.save()
    gone = next(one.segment_id for one in served(made) if one.segment_id is not None)
    for file in (tmp_path / "run" / "segments" / gone).iterdir():
        file.unlink()
    report = made.replay()
    assert report.mismatches == 0
    assert report.not_reproducible > 0
    assert f"the files of segment {gone} are not in the recording" in report.reasons


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


def test_an_answer_without_lineage_is_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=15)
    made.topics["feed.served/1"].pop()
    made.save()
    report = made.replay()
    assert (report.requests, report.reasons) == (15, {NO_LINEAGE: 1})
    assert not report.same


def test_a_second_answer_to_the_same_attempt_needs_a_lineage_of_its_own(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=15)
    answer = made.topics["feed.responses/1"][0]
    made.put("feed.responses", 1, "again", answer.value or b"", answer.headers)
    made.save()
    assert made.replay().same
    made.put("feed.responses", 1, "again", (answer.value or b"").replace(b'"title":"', b'"title":"not '), answer.headers)
    made.save()
    assert made.replay().reasons == {NO_LINEAGE: 1}


def test_a_response_that_is_gone_is_compared_by_its_digest(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=15)
    made.topics["feed.responses/1"].clear()
    made.save()
    report = made.replay()
    assert report.by_digest > 0
    assert report.same


def test_refusals_are_counted_and_not_replayed(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=5)
    refusal = b'{"request_id":"x","user_id":"","now_ms":1,"items":[],"degradation_level":"full","error":'
    refusal += b'{"code":"malformed","expected":"JSON","got":"not","path":"$","do":"mend it"}}'
    made.put("feed.responses", 2, "x", refusal)
    made.save()
    report = made.replay()
    assert (report.requests, report.refused) == (5, 1)
    assert report.same


def test_records_that_fit_no_contract_are_counted(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=5)
    made.put("feed.served", 1, "x", b"{")
    made.put("feed.served", 1, "x", b'{"worker":"w","sequence":1,"request_id":"x","offsets":{}}')
    made.put("feed.responses", 1, "x", b"{")
    made.save()
    report = made.replay()
    assert (report.requests, report.not_reproducible, report.mismatches) == (8, 3, 0)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    with pytest.raises(RecordingError, match="expected a finished recording, got no manifest.json"):
        made.replay()


@pytest.mark.parametrize(("text", "what"), [(b"{", "the manifest of a recording"), (b'{"format":1}', "the manifest of a recording")])
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, text: bytes, what: str) -> None:
    made = Run(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_bytes(text)
    with pytest.raises(RecordingError, match=what):
        made.replay()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=5)
    made.save()
    with (tmp_path / "run" / "features.items-0.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    with pytest.raises(RecordingError, match="sha256"):
        made.replay()


def test_a_recording_of_a_later_format_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=2)
    msgspec.structs.replace(made.save(), format=2).save(tmp_path / "run")
    with pytest.raises(RecordingError, match="expected format 1, got 2"):
        made.replay()
