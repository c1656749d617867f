"""Whatever a client can write has a bound: each text, list and map of an input contract; none is an exception."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import inspect

from schemas.base import Message
from schemas.catalog import CatalogItem, Moderation
from schemas.dlq import LetterMark
from schemas.feed import FeedRequest
from schemas.learning import Objective
from schemas.registry import MESSAGES
from schemas.system import SystemRecord
from schemas.telemetry import TelemetryBatch, UserHistory
from schemas.topics import load_topics
from schemas.users import UserRecord

INPUTS: tuple[type[Message], ...] = (
    TelemetryBatch,
    UserHistory,
    UserRecord,
    CatalogItem,
    FeedRequest,
    Moderation,
    Objective,
    LetterMark,
    SystemRecord,
)
OURS = {"ingest", "features", "trending", "cooccurrence", "catalog", "feed", "labels", "learning"}


def unbounded(info: inspect.Type, path: str, advertised: dict[str, object] | None = None) -> Iterator[str]:
    """Yield the paths below `info` at which a text, a list or a map of any size may stand."""
    said = advertised or {}
    if isinstance(info, inspect.Metadata):
        yield from unbounded(info.type, path, {**said, **(info.extra_json_schema or {})})
    elif isinstance(info, inspect.UnionType):
        for one in info.types:
            yield from unbounded(one, path, said)
    elif isinstance(info, inspect.StructType):
        for field in info.fields:
            yield from unbounded(field.type, f"{path}.{field.encode_name}")
    elif isinstance(info, inspect.StrType | inspect.BytesType):
        if info.max_length is None and "maxLength" not in said:
            yield path
    elif isinstance(info, inspect.ListType | inspect.VarTupleType):
        if info.max_length is None and "maxItems" not in said:
            yield path
        yield from unbounded(info.item_type, f"{path}[]")
    elif isinstance(info, inspect.DictType):
        if info.max_length is None and "maxProperties" not in said:
            yield path
        yield from unbounded(info.key_type, f"{path}.key")
        yield from unbounded(info.value_type, f"{path}.value")
    elif not isinstance(
        info, inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.NoneType | inspect.EnumType | inspect.LiteralType
    ):
        yield f"{path} ({type(info).__name__})"


@pytest.mark.parametrize("kind", INPUTS, ids=lambda kind: kind.__name__)
def test_every_text_list_and_map_of_an_input_contract_has_a_bound(kind: type[Message]) -> None:
    assert list(unbounded(inspect.type_info(kind), kind.__name__)) == []


def test_what_is_written_by_others_than_our_parts_is_an_input_contract() -> None:
    written = {MESSAGES[spec.schema] for spec in load_topics().values() if not OURS & set(spec.producers)}
    assert written == set(INPUTS)


def test_a_field_without_a_bound_is_found() -> None:
    found = set(unbounded(inspect.type_info(MESSAGES["ServedRecord"]), "ServedRecord"))
    assert {"ServedRecord.request", "ServedRecord.offsets", "ServedRecord.items[].video_id", "ServedRecord.skipped[]"} <= found
