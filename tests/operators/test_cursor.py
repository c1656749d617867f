from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.cursor import cursor_after, read_cursor
from operators.feed import Answer
from operators.tokens import verify
from schemas.codec import DecodeError, pack
from schemas.dlq import ReasonCode
from schemas.features import ServedPage
from schemas.feed import FeedRequest, Level
from schemas.telemetry import Context
from tests.operators.feed_world import NOW_MS, SECRET, answer, feed, item, read, rich_person, rich_world, shown, state, tables

MADE = cursor_after(SECRET, "u", request_id="r1", at_ms=1_700_000_000_000)


@given(st.text(max_size=128), st.text(max_size=128), st.integers(0, 2**62))
def test_a_cursor_says_when_its_answer_was_and_fits_its_contract(user_id: str, request_id: str, at_ms: int) -> None:
    text = cursor_after(SECRET, user_id, request_id=request_id, at_ms=at_ms)
    assert len(text) == 40
    assert read_cursor(SECRET, user_id, text).at_ms == at_ms
    assert text == cursor_after(SECRET, user_id, request_id=request_id, at_ms=at_ms)


def test_answers_have_cursors_of_their_own() -> None:
    others = [("u", "r2", 1_700_000_000_000), ("u", "r1", 1_700_000_000_001), ("v", "r1", 1_700_000_000_000)]
    assert len({MADE, *(cursor_after(SECRET, user, request_id=request, at_ms=at) for user, request, at in others)}) == 4


def test_any_changed_bit_is_refused() -> None:
    data = urlsafe_b64decode(MADE)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            read_cursor(SECRET, "u", urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("text", ["", "a", MADE[:-4], MADE + "AAAA", MADE.upper(), "+" * 40, "=" * 40, "c" * 128, "視" * 40, MADE + "\n"])
def test_garbage_is_refused_by_name(text: str) -> None:
    with pytest.raises(DecodeError, match=r"expected the next_cursor of an answer to this person, got .*, at \$\.cursor") as error:
        read_cursor(SECRET, "u", text)
    assert error.value.reason is ReasonCode.INVALID_VALUE


def test_the_cursor_of_somebody_else_or_of_another_system_is_refused() -> None:
    for secret, user_id in ((SECRET, "v"), (SECRET, ""), (bytes(32), "u")):
        with pytest.raises(DecodeError):
            read_cursor(secret, user_id, MADE)


@given(st.text(max_size=200))
def test_no_text_is_taken_by_chance(text: str) -> None:
    with pytest.raises(DecodeError):
        read_cursor(SECRET, "u", text)


def test_the_same_cursor_gives_the_same_page_again_and_leads_on_to_the_same_next_one() -> None:
    made, known = tables(rich_world(300)), rich_person()
    pages: list[bytes] = []

    def ask(request_id: str, cursor: str | None, **fields: object) -> Answer:
        request = FeedRequest(user_id="u", limit=10, cursor=cursor, **fields)  # type: ignore[arg-type]
        got = answer(made, read(known, pages=pages), request=request, request_id=request_id)
        if got.page is not None:
            pages.append(pack(got.page))
        return got

    first = ask("r1", None)
    second = ask("r2", first.response.next_cursor)
    third = ask("r3", second.response.next_cursor)
    assert len({*shown(first), *shown(second), *shown(third)}) == 30
    feed(made, [item("new", title="a new one", uploaded_ms=NOW_MS - 1)])
    for request_id, shadow in (("r4", False), ("r5", True)):
        again = ask(request_id, first.response.next_cursor, shadow=shadow)
        assert (shown(again), again.response.next_cursor, again.page) == (shown(second), second.response.next_cursor, None)
        assert {one.source for one in again.response.items} == {"repeated"}
        assert [one.propensity for one in again.served.items] == [1.0] * 10
        assert [verify(SECRET, one.tracking_token).video_id for one in again.response.items] == shown(second)
        assert (again.response.degradation_level, again.response.relaxed) == (Level.FULL, ())
        assert shown(ask("r6", again.response.next_cursor)) == shown(third)
    assert len(pages) == 3
    assert shown(ask("r7", first.response.next_cursor, context=None))[:4] == shown(second)[:4]
    assert not set(shown(ask("r8", None))) & {*shown(first), *shown(second), *shown(third)}


def test_a_page_that_is_asked_for_again_lacks_what_may_not_be_shown_any_more() -> None:
    made = tables([item(x, creator_id=f"by {x}") for x in "abcdefgh"])
    remembered = pack(ServedPage(request_id="r2", at_ms=NOW_MS - 7_200_000, video_ids=["c", "a", "gone", "b", "d"], after="there"))
    feed(made, [("catalog.items", "a", None)])
    request = FeedRequest(user_id="u", cursor="there", context=Context(region="US"))
    again = answer(made, read(state(hidden_creators=["by b"]), seen="abcd", pages=[remembered]), request=request, request_id="r9")
    assert shown(again) == ["c", "d"]
    assert len(again.served.candidates.dropped) == len(again.served.candidates.video_ids.split("\n"))
    short = answer(made, read(pages=[remembered]), request=FeedRequest(user_id="u", limit=1, cursor="there"), request_id="r9")
    assert shown(short) == ["c"]
    feed(made, [("catalog.items", x, None) for x in "bcd"])
    other = answer(made, read(pages=[remembered]), request=request, request_id="r9")
    assert sorted(shown(other)) == ["e", "f", "g", "h"]
    assert other.page is not None
    assert other.page.after == "there"
