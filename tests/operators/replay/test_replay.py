"""Recorded answers come out the same; what cannot be made again is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from operators.replay.run import NO_LINEAGE
from schemas.codec import decode, encode
from schemas.feed import ServedRecord
from tests.operators.feed_world import counters
from tests.operators.replay.recorded import Run
from tests.operators.replay.runs import run, served


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


def test_a_lineage_that_tells_no_heads_is_compared_without_them(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=12)
    for topic, records in made.topics.items():
        if topic.startswith("feed.served"):
            told = [msgspec.structs.replace(decode(ServedRecord, one.value or b""), heads=[], head_scores=b"") for one in records]
            made.topics[topic] = [one._replace(value=encode(bare)) for one, bare in zip(records, told, strict=True)]
    made.save()
    report = made.replay()
    assert (report.requests, report.mismatches) == (12, 0)


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
    assert f"the files of {gone}, announced on catalog.segments, are not in the recording" in report.reasons


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
