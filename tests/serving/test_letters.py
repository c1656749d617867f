"""What becomes of dead letters: chains, states, and which of them a retry of all sends."""

from __future__ import annotations

import msgspec
import pytest

from schemas.dlq import DeadLetter, LetterMark, ReasonCode
from serving.dlq import resent_value, sendable
from serving.letters import Chains, Letter, Wanted, users_of

RAW = ("telemetry.raw", 1)


def letter(offset: int, *, reason: ReasonCode = ReasonCode.INTERNAL, index: int = -1, key: bytes = b"42", raw: bytes = b"{}") -> DeadLetter:
    return DeadLetter(
        reason=reason,
        expected="x",
        got="y",
        path="$",
        topic=RAW[0],
        partition=RAW[1],
        offset=offset,
        event_index=index,
        at_ms=1_000 + offset,
        key=key,
        raw=raw,
    )


def sent(one: DeadLetter, to: int) -> LetterMark:
    return LetterMark(letter_id=one.letter_id, action="sent", at_ms=1, topic=RAW[0], partition=RAW[1], offset=to)


def chains(letters: list[DeadLetter], marks: list[LetterMark] | None = None, reached: int = 0) -> Chains:
    return Chains({one.letter_id: Letter.of(one, (0, n)) for n, one in enumerate(letters)}, marks or [], {RAW: reached})


def test_a_letter_is_open_until_it_is_sent_and_resolved_once_the_part_has_come_past_its_record() -> None:
    one = letter(7)
    name = one.letter_id
    assert chains([one], reached=100).state(name) == "open"
    assert chains([one], [sent(one, 20)], reached=20).state(name) == "retried"
    assert chains([one], [sent(one, 20)], reached=21).state(name) == "resolved"
    assert Chains({name: Letter.of(one, (0, 0))}, [sent(one, 20)], {}).state(name) == "retried"


def test_a_letter_that_fails_again_has_a_successor_in_its_chain_and_neither_is_sent_by_a_second_retry_of_all() -> None:
    first, second = letter(7, index=3), letter(20, index=0)
    found = chains([first, second], [sent(first, 20)], reached=50)
    assert found.state(first.letter_id) == found.state(second.letter_id) == "retried"
    assert found.became(first.letter_id) == [second.letter_id]
    assert found.first(second.letter_id) == first.letter_id
    assert [found.tries(one.letter_id) for one in (first, second)] == [1, 2]
    assert found.due(found.letters, max_attempts=2) == []
    assert found.due(found.letters, max_attempts=3) == [second.letter_id]


def test_a_chain_is_resolved_from_its_end() -> None:
    first, second = letter(7), letter(20)
    found = chains([first, second], [sent(first, 20), sent(second, 30)], reached=31)
    assert found.state(second.letter_id) == found.state(first.letter_id) == "resolved"
    assert found.due(found.letters, max_attempts=9) == []


def test_a_duplicate_needs_nobody_and_a_letter_that_came_back_as_one_was_taken_in() -> None:
    first, twice = letter(7), letter(20, reason=ReasonCode.DUPLICATE)
    found = chains([first, twice], [sent(first, 20)], reached=21)
    assert found.state(twice.letter_id) == found.state(first.letter_id) == "resolved"
    assert chains([twice]).due([twice.letter_id], max_attempts=9) == []


def test_a_letter_that_is_sent_by_name_again_is_judged_by_its_newest_record() -> None:
    first, second = letter(7), letter(20)
    found = chains([first, second], [sent(first, 20), sent(first, 40)], reached=41)
    assert found.state(first.letter_id) == "resolved"
    assert found.became(first.letter_id) == []


def test_what_was_purged_is_left_alone_and_one_that_is_named_after_that_counts_as_sent() -> None:
    one = letter(7)
    purged = LetterMark(letter_id=one.letter_id, action="purged", at_ms=1)
    assert chains([one], [purged]).state(one.letter_id) == "purged"
    assert chains([one], [purged]).due([one.letter_id], max_attempts=9) == []
    assert chains([one], [purged, sent(one, 20)]).state(one.letter_id) == "retried"


def test_marks_that_go_in_circles_end() -> None:
    one, two = letter(1), letter(2)
    found = chains([one, two], [sent(one, 2), sent(two, 1)])
    assert [found.tries(each.letter_id) for each in (one, two)] == [1, 2]
    assert found.state(one.letter_id) == "retried"
    assert chains([one], [sent(one, 1)]).state(one.letter_id) == "retried"


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Wanted(), [1, 2, 3]),
        (Wanted(reason=ReasonCode.MALFORMED), [2]),
        (Wanted(topic="telemetry.raw"), [1, 2, 3]),
        (Wanted(topic="raw", prefix="telemetry."), [1, 2, 3]),
        (Wanted(topic="catalog.items"), []),
        (Wanted(user="7"), [3]),
        (Wanted(user="42"), [1, 2]),
        (Wanted(since_ms=1_002), [2, 3]),
        (Wanted(until_ms=1_002), [1]),
        (Wanted(state="open", user="7"), [3]),
        (Wanted(state="purged"), []),
    ],
)
def test_letters_are_chosen_by_everything_that_is_said(wanted: Wanted, offsets: list[int]) -> None:
    found = chains([letter(1), letter(2, reason=ReasonCode.MALFORMED, raw=b"\xff{"), letter(3, key=b"\xff", raw=b'{"user_id":"7"}')])
    assert [found.letters[name].offset for name in wanted.of(found)] == offsets


def test_who_a_letter_is_about_is_its_key_or_its_user_id() -> None:
    assert users_of(letter(1, key=b"a", raw=b'{"user_id":"b"}')) == {"a", "b"}
    assert users_of(letter(1, key=b"\xff", raw=b"[" * 100_000)) == set()


def test_a_letter_that_holds_only_the_beginning_of_its_record_is_not_sent_again() -> None:
    cut, whole = msgspec.structs.replace(letter(1), raw_size=5_000_000), letter(2)
    good, why = sendable([cut, whole])
    assert good == [whole.letter_id]
    (said,) = why
    assert said.startswith(f"expected the whole record of 5000000 bytes, got its first 2, at {cut.letter_id};")


def test_of_a_batch_with_another_poisoned_event_the_one_that_is_named_goes_out_again() -> None:
    raw = b'{"device_id": "d", "events": [{"value": NaN}, {"event_id": "a", "timestamp": 5}], "user_id": "u"}'
    named = letter(7, reason=ReasonCode.IMPLAUSIBLE_TIME, index=1, raw=raw)
    assert resent_value(named) == b'{"device_id":"d","user_id":"u","events":[{"event_id": "a", "timestamp": 5}]}'
