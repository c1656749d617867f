from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.errors import ConfigError, ContractError
from serving.kuairand import KuaiRandLog, ranked_rows, read_folder, request_id_for
from serving.score import Score, as_text, score

WriteFolder = Callable[..., Path]


def answer(row: int, user: int, at_ms: int, items: list[str], **more: Any) -> dict[str, Any]:
    whole = {"request_id": request_id_for(row), "user_id": str(user), "ts_ms": at_ms, "tab": 1, "items": items, "ranked": items}
    return whole | {"level": "full", "latency_ms": 3.5} | more


# The ranked rows of the small folder: 2 (user 1, video 2), 5 and 6 (user 2, videos 3 and 4, at one instant).
ROW_2 = (2, 1, 3_000)
ROW_5 = (5, 2, 4_000)
ROW_6 = (6, 2, 4_000)


@pytest.fixture
def log(write_folder: WriteFolder) -> KuaiRandLog:
    return read_folder(write_folder())


def scored(folder: KuaiRandLog, path: Path, answers: list[dict[str, Any]]) -> Score:
    path.write_text("".join(json.dumps(each) + "\n" for each in answers))
    return score(path, folder)


def test_the_place_of_the_video_decides(log: KuaiRandLog, tmp_path: Path) -> None:
    others = [f"x{place}" for place in range(99)]
    answers = [
        answer(*ROW_2, items=[*others[:9], "2"], ranked=[*others[:10], "2"]),
        answer(*ROW_5, items=[*others, "3"], ranked=[*others, "x", "3"]),
        answer(*ROW_6, items=["1"], ranked=["4"]),
    ]
    result = scored(log, tmp_path / "a.jsonl", answers)
    assert (result.n, result.unanswered) == (3, 0)
    assert (result.items.r10, result.items.r100) == pytest.approx((1 / 3, 2 / 3))
    assert (result.ranked.r10, result.ranked.r100) == pytest.approx((1 / 3, 2 / 3))


def test_unknown_and_repeated_ids_keep_their_place(log: KuaiRandLog, tmp_path: Path) -> None:
    result = scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=["no such video"] * 10 + ["2"])])
    assert (result.items.r10, result.items.r100) == pytest.approx((0, 1 / 3))


def test_a_missing_answer_is_a_miss_and_counted(log: KuaiRandLog, tmp_path: Path) -> None:
    result = scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=["2"]), answer(*ROW_5, items=[], ranked=[], level=None)])
    assert (result.n, result.unanswered) == (3, 2)
    assert result.items.r10 == pytest.approx(1 / 3)


def test_an_empty_answer_is_an_answer(log: KuaiRandLog, tmp_path: Path) -> None:
    result = scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=[], ranked=[], level="empty_catalogue")])
    assert result.unanswered == 2
    assert result.items.r100 == 0


def test_two_rows_of_one_instant_are_told_apart_by_their_request_ids(log: KuaiRandLog, tmp_path: Path) -> None:
    in_any_order = [answer(*ROW_6, items=["4"]), answer(*ROW_5, items=["3"])]
    assert scored(log, tmp_path / "a.jsonl", in_any_order).items.r10 == pytest.approx(2 / 3)
    crossed = [answer(*ROW_6, items=["3"]), answer(*ROW_5, items=["4"])]
    assert scored(log, tmp_path / "b.jsonl", crossed).items.r10 == 0


def test_without_request_ids_the_order_of_the_file_decides(log: KuaiRandLog, tmp_path: Path) -> None:
    answers = [answer(*ROW_5, items=["3"], request_id=None), answer(*ROW_6, items=["4"], request_id="mine")]
    assert scored(log, tmp_path / "a.jsonl", answers).items.r10 == pytest.approx(2 / 3)
    assert scored(log, tmp_path / "b.jsonl", answers[::-1]).items.r10 == 0


def test_of_two_answers_to_one_row_the_first_counts(log: KuaiRandLog, tmp_path: Path) -> None:
    answers = [answer(*ROW_2, items=["9"]), answer(*ROW_2, items=["2"])]
    assert scored(log, tmp_path / "a.jsonl", answers).items.r10 == 0
    assert scored(log, tmp_path / "b.jsonl", answers[::-1]).items.r10 == pytest.approx(1 / 3)


def test_answers_to_other_requests_change_nothing(log: KuaiRandLog, tmp_path: Path) -> None:
    others = [answer(0, 1, 1_000, items=["1"]), answer(3, 1, 3_500, items=["3"]), answer(99, 7, 123, items=["2"])]
    result = scored(log, tmp_path / "a.jsonl", others)
    assert (result.unanswered, result.items.r100) == (3, 0)


def test_a_request_id_of_another_run_still_names_its_row_but_not_of_another_user(log: KuaiRandLog, tmp_path: Path) -> None:
    mine = answer(*ROW_2, items=["2"], request_id=f"run-7/{request_id_for(2)}")
    strange = answer(*ROW_2, items=["2"], request_id=request_id_for(5))
    assert scored(log, tmp_path / "a.jsonl", [mine]).items.r10 == pytest.approx(1 / 3)
    assert scored(log, tmp_path / "b.jsonl", [strange]).items.r10 == pytest.approx(1 / 3)


def test_the_main_surface_is_scored_apart(log: KuaiRandLog, tmp_path: Path) -> None:
    result = scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=["2"])])
    assert (result.tab1.n, result.tab1.unanswered, result.tab1.items.r10) == (1, 0, 1.0)


def test_intervals_come_from_drawing_users_and_are_the_same_each_time(write_folder: WriteFolder, tmp_path: Path) -> None:
    rows = [
        {"user_id": user, "video_id": 1, "date": 20300101 + user % 4, "time_ms": 1_000 + user, "tab": 1, "long_view": 1}
        for user in range(400)
    ]
    log = read_folder(write_folder(rows, sequences=[]))
    answers = [answer(row, row, 1_000 + row, items=["1"] if row % 4 == 2 else ["2"]) for row in ranked_rows(log).tolist()]
    result = scored(log, tmp_path / "a.jsonl", answers)
    assert (result.n, result.items.r10) == (200, 0.5)
    assert result.items.r10_ci is not None
    low, high = result.items.r10_ci
    # One row a user: the interval is that of 200 coin throws, half a width of 1.96 · 0.5 / sqrt(200).
    assert (low, high) == pytest.approx((0.5 - 0.0693, 0.5 + 0.0693), abs=0.012)
    assert result == score(tmp_path / "a.jsonl", log)


def test_a_user_with_many_rows_widens_the_interval(write_folder: WriteFolder, tmp_path: Path) -> None:
    rows = [{"user_id": n % 4, "video_id": n, "date": 20300101 + n % 3, "time_ms": 1_000 + n, "tab": 1, "long_view": 1} for n in range(300)]
    log = read_folder(write_folder(rows, sequences=[]))
    answers = [
        answer(row, row % 4, 1_000 + row, items=[str(row)] if row % 2 else ["none"])
        for row in ranked_rows(log, first_day=20300101).tolist()
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(each) for each in answers))
    result = score(tmp_path / "a.jsonl", log, first_day=20300101)
    assert result.items.r10_ci is not None
    assert result.items.r10_ci[1] - result.items.r10_ci[0] > 0.7


def test_the_report_for_programs_has_the_agreed_fields(log: KuaiRandLog, tmp_path: Path) -> None:
    report = msgspec.to_builtins(scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=["2"])]))
    assert set(report) == {"n", "unanswered", "items", "ranked", "tab1"}
    assert set(report["items"]) == set(report["ranked"]) == {"r10", "r10_ci", "r100", "r100_ci"}
    assert set(report["tab1"]) == {"n", "unanswered", "items", "ranked"}


def test_the_table_for_people_has_a_line_for_each_list_and_surface(log: KuaiRandLog, tmp_path: Path) -> None:
    lines = as_text(scored(log, tmp_path / "a.jsonl", [answer(*ROW_2, items=["2"])])).splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:5] == ["all", "items", "3", "2", "0.3333"]


def test_a_line_that_is_no_answer_is_named(log: KuaiRandLog, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(answer(*ROW_2, items=["2"])) + '\n\n{"user_id": 5}\n')
    with pytest.raises(ContractError, match=r"expected an answer as a JSON object, got .*user_id.*, at .*a\.jsonl:3"):
        score(path, log)


def test_a_missing_file_of_answers_is_named(log: KuaiRandLog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a file of answers, got none, at .*none\.jsonl"):
        score(tmp_path / "none.jsonl", log)


def test_a_log_without_ranked_rows_cannot_be_scored(write_folder: WriteFolder, tmp_path: Path) -> None:
    folder = write_folder([{"user_id": 1, "video_id": 1, "date": 20300101, "time_ms": 5, "long_view": 1}])
    with pytest.raises(ConfigError, match="expected at least one ranked row after the warm-up days"):
        score(tmp_path / "a.jsonl", folder)
