"""At the edge of every bound, a message fits its topic or says that it has nothing more to give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import inspect
from msgspec.structs import replace

from schemas.catalog import MAX_FIELD_NAME, MAX_FIELD_TEXT, MAX_FIELDS, MAX_TAG, MAX_TAGS, MAX_TITLE, MAX_URL
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.features import Neighbours, TrendingList
from schemas.feed import MAX_LIMIT, FeedItem, FeedResponse, Level, ServedRecord
from schemas.fitting import RULES, fit, fit_response
from schemas.registry import MESSAGES
from schemas.telemetry import Event
from schemas.topics import load_topics

LONG_TEXT = 4_096
LONG_BYTES = 400_000
LONG_LIST = 100
LETTERS = {"multi-byte": "\U0001d11e", "control": "\x01"}


def largest(info: Any, letter: str) -> Any:
    """The longest value of a type; where it has no bound, a long one."""
    return MADE[type(info)](info, letter)


def text_of(info: inspect.StrType, letter: str) -> str:
    return ("x" if info.pattern and letter == "\x01" else letter) * (info.max_length or LONG_TEXT)


def number_of(info: inspect.IntType, _: str) -> int:
    most = info.le if info.lt is None else info.lt - 1
    return 2**63 - 1 if most is None else int(most)


def list_of(info: inspect.ListType, letter: str) -> list[Any]:
    return [largest(info.item_type, letter)] * (info.max_length or LONG_LIST)


def dict_of(info: inspect.DictType, letter: str) -> dict[Any, Any]:
    key, value = largest(info.key_type, letter), largest(info.value_type, letter)
    return {f"{n:03d}{key}"[: len(key)] if isinstance(key, str) else key: value for n in range(info.max_length or 16)}


def struct_of(info: inspect.StructType, letter: str) -> Any:
    return info.cls(**{field.name: largest(field.type, letter) for field in info.fields})


MADE: dict[type[inspect.Type], Callable[[Any, str], Any]] = {
    inspect.NoneType: lambda *_: None,
    inspect.BoolType: lambda *_: False,
    inspect.IntType: number_of,
    inspect.FloatType: lambda info, _: -1.2345678901234567e299 if info.le is None or info.le > 1e299 else float(info.le),
    inspect.StrType: text_of,
    inspect.BytesType: lambda *_: b"\xff" * LONG_BYTES,
    inspect.LiteralType: lambda info, _: max(info.values, key=len),
    inspect.EnumType: lambda info, _: max(info.cls, key=len),
    inspect.ListType: list_of,
    inspect.VarTupleType: lambda info, letter: tuple(list_of(info, letter)),
    inspect.DictType: dict_of,
    inspect.UnionType: lambda info, letter: max((largest(one, letter) for one in info.types), key=lambda one: len(repr(one))),
    inspect.Metadata: lambda info, letter: largest(info.type, letter),
    inspect.StructType: struct_of,
}

EDGES = [(topic, name) for topic in load_topics() for name in LETTERS]


def at_the_edge(topic: str, name: str) -> Any:
    return largest(inspect.type_info(MESSAGES[load_topics()[topic].schema]), LETTERS[name])


@pytest.mark.parametrize(("topic", "name"), EDGES)
def test_a_message_at_the_edge_of_every_bound_fits_or_says_that_it_cannot(topic: str, name: str) -> None:
    spec, message = load_topics()[topic], at_the_edge(topic, name)
    fitted = fit(message, spec.record_bytes)
    if fitted is None:
        assert len(encode(message)) > spec.record_bytes
        return
    shorter, lost = fitted
    data = encode(shorter)
    assert len(data) <= spec.record_bytes
    assert decode(type(message), data) == shorter
    assert bool(lost) == (shorter != message)
    assert all(field in type(message).__struct_fields__ or field in FeedItem.__struct_fields__ for field in lost)


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_what_was_cut_fits_and_what_fits_is_left_as_it_is(kind: type, share: float) -> None:
    message = largest(inspect.type_info(kind), "x")
    limit = int(share * len(encode(message)))
    fitted = fit(message, limit)
    if fitted is not None:
        assert len(encode(fitted[0])) <= limit
        assert fit(fitted[0], limit) == (fitted[0], ())
    assert fit(message, len(encode(message))) == (message, ())


@pytest.mark.parametrize(("kind", "ids", "numbers"), [(TrendingList, "video_ids", "scores"), (Neighbours, "video_ids", "weights")])
def test_a_list_is_cut_by_no_more_than_it_must_be(kind: type, ids: str, numbers: str) -> None:
    message = largest(inspect.type_info(kind), "x")
    limit = len(encode(message)) // 3
    shorter, lost = fit(message, limit) or (message, ())
    n = len(getattr(shorter, ids))
    one_more = replace(message, **{name: getattr(message, name)[: n + 1] for name in (ids, numbers)})
    assert (lost, len(getattr(shorter, numbers))) == ((ids,), n)
    assert len(encode(shorter)) <= limit < len(encode(one_more))


def test_an_event_loses_its_context_before_its_tags() -> None:
    event = largest(inspect.type_info(Event), "x")
    event = replace(event, tags=("t" * MAX_TAG,) * MAX_TAGS)
    size = len(encode(event))
    shorter, lost = fit(event, size - 10) or (event, ())
    assert (shorter.context, len(shorter.tags), lost) == (None, MAX_TAGS, ("context",))
    shorter, lost = fit(event, len(encode(shorter)) - 10) or (event, ())
    assert (shorter.context, len(shorter.tags), lost) == (None, MAX_TAGS - 1, ("context", "tags"))


def item_at_every_bound(n: int) -> FeedItem:
    """All that the catalogue lets through, in letters that JSON spells with six bytes."""
    url = "\x01" * MAX_URL
    return FeedItem(
        video_id=f"{n:03d}" + "\U0001d11e" * 125,
        title="\x01" * MAX_TITLE,
        video_url=url,
        thumbnail_url=url,
        prefetch_url=url,
        creator_id="\U0001d11e" * 128,
        score=-0.123456,
        source="neighbours",
        recommendation_reason="\U0001d11e" * 200,
        tracking_token="t" * 1_024,
        duration_ms=864_000_000,
        tags=("\U0001d11e" * MAX_TAG,) * MAX_TAGS,
        category="\U0001d11e" * 128,
        language="en",
        fields={f"{k:02d}" + "\x01" * (MAX_FIELD_NAME - 2): "\x01" * MAX_FIELD_TEXT for k in range(MAX_FIELDS)},
    )


def response(n: int) -> FeedResponse:
    items = [item_at_every_bound(k) for k in range(n)]
    return FeedResponse(request_id="r", user_id="u", now_ms=1, items=items, degradation_level=Level.FULL)


def test_a_page_of_100_with_every_bound_of_the_catalogue_at_its_maximum_is_answered_whole() -> None:
    limit = load_topics()["feed.responses"].record_bytes
    cut, lost = fit_response(response(MAX_LIMIT), limit)
    assert len(encode(cut)) <= limit
    assert (len(cut.items), lost) == (MAX_LIMIT, ("fields", "tags", "prefetch_url", "thumbnail_url"))
    assert [one.title for one in cut.items] == ["\x01" * MAX_TITLE] * MAX_LIMIT


def test_an_answer_loses_items_from_its_end_when_nothing_else_is_left() -> None:
    cut, lost = fit_response(response(20), 100_000)
    assert [one.video_id[:3] for one in cut.items] == [f"{n:03d}" for n in range(len(cut.items))]
    assert 0 < len(cut.items) < 20
    assert lost[-1] == "items"


def test_lineage_that_is_too_large_says_what_it_lost() -> None:
    record = replace(largest(inspect.type_info(ServedRecord), "x"), lost=[], request=b"{}", features=b"")
    shorter, lost = fit(record, load_topics()["feed.served"].record_bytes) or (record, ())
    assert shorter.lost == list(lost) == ["read"] or shorter.lost == list(lost) == ["read", "candidates"]
    assert (shorter.read.state, shorter.read.pages, shorter.items) == (None, [], record.items)


def test_a_letter_keeps_the_beginning_of_its_record_and_says_how_long_it_was() -> None:
    raw = bytes(range(256)) * 4_000
    letter = DeadLetter(
        reason=ReasonCode.OVERSIZED, expected="x", got="y", path="$", topic="telemetry.raw", partition=0, offset=1, at_ms=1, raw=raw
    )
    shorter, lost = fit(letter, 50_000) or (letter, ())
    assert (raw.startswith(shorter.raw), shorter.raw_size, lost) == (True, len(raw), ("raw",))
    assert 30_000 < len(shorter.raw) < 50_000
