from __future__ import annotations

import importlib
import pkgutil
from inspect import signature
from pathlib import Path

import jsonschema
import msgspec
import pytest

import schemas
from schemas.base import Message
from schemas.registry import MESSAGES, json_schema, json_schemas

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_every_message_class_of_the_package_is_registered() -> None:
    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"schemas.{module.name}")
    defined = {kind.__name__ for kind in Message.__subclasses__() if kind.__module__.startswith("schemas.")}
    assert defined == MESSAGES.keys()


def test_every_message_has_a_name_of_its_own_and_a_version() -> None:
    names = [kind.TYPE for kind in MESSAGES.values()]
    assert len(set(names)) == len(names)
    assert all(name.startswith("penstock.") for name in names)
    assert all(kind.VERSION >= 1 for kind in MESSAGES.values())


def test_messages_cannot_be_changed_and_are_made_by_keyword() -> None:
    for kind in MESSAGES.values():
        assert kind.__struct_config__.frozen, kind.__name__
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in signature(kind).parameters.values()), kind.__name__


@pytest.mark.parametrize("name", MESSAGES)
def test_a_json_schema_is_a_schema_and_takes_the_golden_message(name: str) -> None:
    kind = MESSAGES[name]
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    document = msgspec.json.decode((GOLDEN / f"{name}.v{kind.VERSION}.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_a_json_schema_refuses_a_wrong_message() -> None:
    validator = jsonschema.Draft202012Validator(json_schemas()["FeedRequest"])
    assert not validator.is_valid({"user_id": "42", "limit": 1_000})
    assert not validator.is_valid({"limit": 10})
