"""Whatever fits a contract comes back as it was; what does not is refused with the reason and the place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from schemas.base import Message
from schemas.catalog import CatalogItem
from schemas.codec import DecodeError, decode, encode, pack, unpack
from schemas.dlq import ReasonCode
from schemas.features import EntityCounters, ServedPage, TrendingList
from schemas.feed import FeedRequest
from schemas.registry import MESSAGES


def values_of(info: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type as msgspec sees it."""
    return DRAWN[type(info)](info)


def structs_of(info: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {field.name: values_of(field.type) for field in info.fields if field.required}
    optional = {field.name: values_of(field.type) for field in info.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda kwargs: info.cls(**kwargs))


def integers_of(info: inspect.IntType) -> st.SearchStrategy[int]:
    most = info.le if info.lt is None else info.lt - 1
    return st.integers(-(2**63) if info.ge is None else info.ge, 2**63 - 1 if most is None else most)


def lists_of(info: inspect.ListType) -> st.SearchStrategy[list[Any]]:
    least = info.min_length or 0
    return st.lists(values_of(info.item_type), min_size=least, max_size=max(3, least))


def numbers_of(info: inspect.FloatType) -> st.SearchStrategy[float]:
    return st.floats(info.ge, info.le, allow_nan=False, allow_infinity=False)


def texts_of(info: inspect.StrType) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs", "Cc"] if info.pattern else ["Cs"])
    return st.text(characters, min_size=info.min_length or 0, max_size=min(info.max_length or 10, 10))


DRAWN: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: integers_of,
    inspect.FloatType: numbers_of,
    inspect.StrType: texts_of,
    inspect.BytesType: lambda _: st.binary(max_size=10),
    inspect.LiteralType: lambda info: st.sampled_from(info.values),
    inspect.EnumType: lambda info: st.sampled_from(list(info.cls)),
    inspect.ListType: lists_of,
    inspect.VarTupleType: lambda info: st.lists(values_of(info.item_type), max_size=3).map(tuple),
    inspect.DictType: lambda info: st.dictionaries(values_of(info.key_type), values_of(info.value_type), max_size=2),
    inspect.UnionType: lambda info: st.one_of(*map(values_of, info.types)),
    inspect.Metadata: lambda info: values_of(info.type),
    inspect.StructType: structs_of,
}


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    return values_of(inspect.type_info(kind))


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_message_survives_the_wire_and_the_store(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    assert decode(kind, encode(message)) == message
    assert unpack(kind, pack(message)) == message
    assert encode(decode(kind, encode(message))) == encode(message)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_decode_error(data: bytes) -> None:
    for read in (decode, unpack):
        try:
            read(FeedRequest, data)
        except DecodeError as error:
            assert error.expected
            assert error.got
            assert "$" in error.path


def test_bytes_that_are_no_json_are_malformed() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(FeedRequest, b'{"user_id":')
    assert caught.value.reason is ReasonCode.MALFORMED


@pytest.mark.parametrize(
    ("text", "half"),
    [
        (rb"\ud83d", True),
        (rb"\ude00", True),
        (rb"\ude00\ud83d", True),
        (rb"\ud83d\ude00", False),
        (rb"\\ud83d", False),
        (rb"\u00e9", False),
    ],
)
def test_only_half_of_a_surrogate_pair_is_called_that(text: bytes, half: bool) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(FeedRequest, b'{"user_id":"' + text + b'"')
    assert ("half of a surrogate pair" in caught.value.got) == half


def test_what_is_nested_too_deep_is_malformed() -> None:
    for read, data in ((decode, b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"), (unpack, b"\x81\xa1x" + b"\x91" * 20_000 + b"\x01")):
        with pytest.raises(DecodeError) as caught:
            read(FeedRequest, data)
        assert caught.value.reason is ReasonCode.MALFORMED


def test_a_wrong_type_is_named_with_its_place() -> None:
    with pytest.raises(DecodeError, match=r"expected a text, got 7, at \$\.user_id") as caught:
        decode(FeedRequest, b'{"user_id":7}')
    assert caught.value.reason is ReasonCode.WRONG_TYPE
    assert caught.value.path == "$.user_id"


@pytest.mark.parametrize("number", [b"9" * 30, b"9" * 400, b"9" * 5_000, b"1e400"])
def test_a_number_that_is_too_large_is_explained_in_words(number: bytes) -> None:
    for field in (b"user_id", b"ts_ms"):
        with pytest.raises(DecodeError, match=r"expected (a |an )") as caught:
            decode(FeedRequest, b'{"user_id":"u","' + field + b'":' + number + b"}")
        assert "range" not in str(caught.value)


def test_a_row_of_the_store_that_is_too_short_is_explained_in_words() -> None:
    with pytest.raises(DecodeError, match=r"expected a list of at least 3 entries, got \[1\], at \$"):
        unpack(ServedPage, b"\x91\x01")


@pytest.mark.parametrize(
    ("fields", "path", "got"),
    [
        (b'{"a": 1, "price": null, "z": [1]}', '$.fields["price"]', "null"),
        (b'{"a": "x", "z": [1], "price": null}', '$.fields["z"]', "[1]"),
        (b'{"a.b[0]": {}}', '$.fields["a.b[0]"]', "{}"),
        (b'{"' + b"k" * 500 + b'": null}', '$.fields["' + "k" * 79 + "\u2026]", "null"),
        (b'{"same": null, "same": 1}', "$.fields[...]", "null"),
    ],
)
def test_a_wrong_entry_of_a_map_is_named_by_its_key_where_it_can_be_found(fields: bytes, path: str, got: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(CatalogItem, b'{"video_id": "v", "fields": ' + fields + b"}")
    assert (caught.value.path, caught.value.got) == (path, got)


@pytest.mark.parametrize("rest", [b"", b",,", b', "x": \xff}', b', "x": "\\ud83d"}', b', "x": ' + b"[" * 20_000])
def test_a_wrong_entry_before_what_is_no_json_raises_nothing_else(rest: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(CatalogItem, b'{"video_id": "v", "fields": {"price": null}' + rest)
    assert caught.value.path == "$.fields[...]"


def test_a_wrong_entry_is_named_in_rows_of_the_store_too() -> None:
    with pytest.raises(DecodeError, match=r'expected a number, got "x", at \$\.surfaces\["2"\]'):
        unpack(EntityCounters, msgspec.msgpack.encode(_counters() | {"surfaces": {"1": 1.0, "2": "x"}}))


def test_the_wrong_one_of_very_many_entries_is_found_in_little_time() -> None:
    began = time.process_time()
    with pytest.raises(DecodeError, match="bad"):
        decode(
            CatalogItem, b'{"video_id": "v", "fields": ' + msgspec.json.encode({f"s{n}": n for n in range(60_000)} | {"bad": None}) + b"}"
        )
    assert time.process_time() - began < 2


def _counters() -> dict[str, Any]:
    return {"kind": "tag", "id": "t", "version": 1, "updated_ms": 1, "totals": [0] * 14}


def test_unknown_fields_are_ignored() -> None:
    assert decode(FeedRequest, b'{"user_id":"42","from_the_future":[1]}') == FeedRequest(user_id="42")


def test_numbers_that_json_does_not_know_become_null_and_are_refused_on_the_way_in() -> None:
    bad = TrendingList(scope="global", as_of_ms=0, half_life_ms=1, video_ids=["v"], scores=[math.nan])
    with pytest.raises(DecodeError, match="expected a number, got null"):
        decode(TrendingList, encode(bad))
