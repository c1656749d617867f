"""The tables of fields in docs/contracts.md are the contracts: every field, its bound, and what becomes of more.

Run this as a module to write the last two columns anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from schemas.base import Message
from schemas.catalog import MAX_FIELD_NAME, MAX_FIELD_TEXT, MAX_FIELDS, MAX_TAGS, CatalogItem
from schemas.codec import DecodeError
from schemas.telemetry import ONE_LINE
from schemas.users import UserRecord
from schemas.validity import LATEST_MS, catalog_item, user_record

PAGE = Path(__file__).resolve().parents[2] / "docs" / "contracts.md"
IDS: dict[type[Message], str] = {CatalogItem: "video_id", UserRecord: "user_id"}
REFUSED = {CatalogItem: "dead letter", UserRecord: "record left out, counted"}
FIELDS = [(kind, field) for kind in IDS for field in inspect.type_info(kind).fields]  # type: ignore[attr-defined]
CLAIMED_MS = 2**62


def plain(info: inspect.Type) -> tuple[Any, dict[str, Any]]:
    """The type without null, and what the JSON Schema says beside it."""
    said: dict[str, Any] = {}
    while isinstance(info, inspect.Metadata | inspect.UnionType):
        if isinstance(info, inspect.Metadata):
            said |= info.extra_json_schema or {}
            info = info.type
        else:
            (info,) = (one for one in info.types if not isinstance(one, inspect.NoneType))
    return info, said


def bound(info: inspect.Type) -> str:
    """The bound of a field in words."""
    kind, said = plain(info)
    if isinstance(kind, inspect.StrType):
        most = kind.max_length or said["maxLength"]
        line = ", no control character" if kind.pattern == ONE_LINE else ""
        return (f"{kind.min_length} to" if kind.min_length else "at most") + f" {most:,} characters{line}"
    if isinstance(kind, inspect.IntType):
        return "epoch milliseconds, years 1990 to 2099" if kind.le == CLAIMED_MS else f"{kind.ge} to {kind.le:{'' if kind.ge else ','}}"
    if isinstance(kind, inspect.VarTupleType):
        return f"{kind.max_length or said['maxItems']}, each {bound(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        numbers = "whole numbers of less than 2^63"
        return f"{said['maxProperties']}, names {bound(kind.key_type)}, texts at most {MAX_FIELD_TEXT} characters, {numbers}"
    return "true or false" if isinstance(kind, inspect.BoolType) else " or ".join(f"`{value}`" for value in kind.values)


def beyond(info: inspect.Type) -> Any:
    """A value that is just beyond the bound."""
    kind, said = plain(info)
    if isinstance(kind, inspect.StrType):
        return "x" * ((kind.max_length or said["maxLength"]) + 1)
    if isinstance(kind, inspect.IntType):
        return LATEST_MS + 1 if kind.le == CLAIMED_MS else (kind.le or 0) + 1
    if isinstance(kind, inspect.VarTupleType):
        return [f"t{n}" for n in range((kind.max_length or said["maxItems"]) + 1)]
    if isinstance(kind, inspect.DictType):
        return {f"n{n}": n for n in range(said["maxProperties"] + 1)}
    return "neither"


def read(kind: type[Message], **fields: Any) -> tuple[Any, tuple[str, ...]]:
    """A record as every reader takes it, and what was cut."""
    value = msgspec.json.encode({IDS[kind]: "x"} | fields)
    key = str(fields.get(IDS[kind], "x")).encode()
    return catalog_item(key, value) if kind is CatalogItem else (user_record(key, value), ())


def fate(kind: type[Message], name: str, value: Any) -> str:
    """What becomes of a value beyond its bound."""
    try:
        record, cut = read(kind, **{name: value})
    except DecodeError:
        return REFUSED[kind]
    assert cut == (name,)
    return "left out, counted" if not getattr(record, name) else "the rest is cut, counted"


def rows(kind: type[Message]) -> dict[str, list[str]]:
    """The last two cells of each row, as they should be."""
    return {one.name: [bound(one.type), fate(kind, one.name, beyond(one.type))] for of, one in FIELDS if of is kind}


@pytest.mark.parametrize("kind", IDS, ids=lambda kind: kind.__name__)
def test_the_table_holds_every_field_its_bound_and_what_becomes_of_more(kind: type[Message]) -> None:
    shown = {cells[0].strip("`"): cells[2:] for cells in map(_cells, _table(kind).splitlines()[2:])}
    assert list(shown) == list(kind.__struct_fields__)
    assert shown == rows(kind), "run python -m tests.schemas.test_field_tables"


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda one: getattr(one, "name", getattr(one, "__name__", "")))
def test_a_value_at_its_bound_is_taken_as_it_is(kind: type[Message], field: inspect.Field) -> None:
    info, value = plain(field.type)[0], beyond(field.type)
    if isinstance(info, inspect.BoolType | inspect.LiteralType):
        value = [True, *getattr(info, "values", ())][-1]
    elif isinstance(value, int):
        value -= 1
    elif isinstance(value, dict):
        value.popitem()
    else:
        value = value[:-1]
    if field.name == "region":
        value = value.upper()
    record, cut = read(kind, **{field.name: value})
    found = getattr(record, field.name)
    assert (list(found) if isinstance(found, tuple) else found, cut) == (value, ())


def test_what_is_too_long_within_tags_and_free_fields_is_left_out_or_cut() -> None:
    item, cut = read(CatalogItem, tags=["x" * 129, "short"], fields={"n" * (MAX_FIELD_NAME + 1): 1, "big": 2**63, "text": "x" * 300})
    assert (item.tags, item.fields, cut) == (("short",), {"text": "x" * MAX_FIELD_TEXT}, ("tags", "fields"))
    many, _ = read(CatalogItem, tags=[f"t{n}" for n in range(99)], fields={f"n{n}": n for n in range(99)})
    assert (len(many.tags), len(many.fields)) == (MAX_TAGS, MAX_FIELDS)


def _table(kind: type[Message]) -> str:
    found = re.search(rf"^\| field of {kind.__name__} \|.*\n(?:\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, kind
    return found[0]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def write() -> None:
    """Write the last two columns anew; the first two are by hand."""
    for kind in IDS:
        old, made = _table(kind), rows(kind)
        head, lines = old.splitlines()[:2], [_cells(line)[:2] for line in old.splitlines()[2:]]
        new = [*head, *(f"| {' | '.join([*cells, *made[cells[0].strip('`')]])} |" for cells in lines)]
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(old, "\n".join(new) + "\n"), encoding="utf-8")


if __name__ == "__main__":
    write()
