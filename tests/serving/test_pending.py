"""Requests under way: what settles them, and what a stranger may put on the shared reply topic."""

from __future__ import annotations

import pickle
from concurrent.futures import Future
from typing import cast

import pytest
from confluent_kafka import Message

from schemas import headers
from schemas.codec import encode
from schemas.feed import FeedRequest, FeedResponse, Level, RequestError
from serving.errors import ContractError, RequestRefused, TransportError
from serving.pending import Pending, checked_request
from serving.wire import reply_of


class FakeMessage:
    def __init__(self, fields: list[tuple[str, bytes | None]], key: bytes | None = None) -> None:
        self._fields, self._key = fields, key

    def headers(self) -> list[tuple[str, bytes | None]]:
        return self._fields

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes:
        return b"v"


def _pending() -> Pending:
    return Pending(FeedRequest(user_id="42", request_id="r"), Future(), 0.0, 0, [3])


def _response(error: RequestError | None = None) -> bytes:
    return encode(FeedResponse(request_id="r", user_id="42", now_ms=1, items=[], degradation_level=Level.EMPTY_CATALOGUE, error=error))


def test_an_answer_settles_a_request() -> None:
    pending = _pending()
    assert pending.settle(_response(), requests="q", responses="a")
    assert pending.future.result(0).request_id == "r"


def test_a_refusal_is_an_error_in_the_words_of_the_system() -> None:
    pending = _pending()
    assert pending.settle(_response(RequestError(code="c", expected="x", got="y", path="$.limit", do="z")), requests="q", responses="a")
    with pytest.raises(RequestRefused, match=r"expected x, got y, at q \$\.limit \(c\); z") as raised:
        pending.future.result(0)
    copy = pickle.loads(pickle.dumps(raised.value))
    for error in (raised.value, copy):
        assert (error.code, error.expected, error.got, error.path, error.do) == ("c", "x", "y", "$.limit", "z")


def test_bytes_that_are_no_answer_fail_the_request_and_are_not_counted_as_one() -> None:
    pending = _pending()
    assert not pending.settle(b"{", requests="q", responses="a")
    with pytest.raises(ContractError, match="expected a feed response"):
        pending.future.result(0)


def test_a_late_request_names_its_attempts() -> None:
    assert isinstance(_pending().unanswered("q"), TransportError)
    assert "none after 1 attempts, at request r on q" in str(_pending().unanswered("q"))


def test_a_request_gets_an_id_of_its_own_unless_it_has_one() -> None:
    assert checked_request(FeedRequest(user_id="42")).request_id != checked_request(FeedRequest(user_id="42")).request_id
    assert checked_request(FeedRequest(user_id="42", request_id="mine")).request_id == "mine"
    with pytest.raises(ContractError, match=r"expected a text of at least 1 characters, got \"\", at \$\.user_id"):
        checked_request(FeedRequest(user_id=""))


@pytest.mark.parametrize(("attempt", "read"), [(b"2", 2), (b"0", 1), (b"-1", 1), (b"x", 1), (b"9" * 5_000, 1), (None, 1)])
def test_whatever_stands_in_the_attempt_header_is_read(attempt: bytes | None, read: int) -> None:
    reply = reply_of(cast(Message, FakeMessage([(headers.ATTEMPT, attempt)], key=b"k")))
    assert (reply.request_id, reply.attempt) == ("k", read)


def test_an_id_that_is_no_text_is_nobodys() -> None:
    assert reply_of(cast(Message, FakeMessage([(headers.CORRELATION_ID, b"\xff")]))).request_id == ""
