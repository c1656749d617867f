"""The document keeps the rules of AsyncAPI 3.0 that stand in the subset beside this file, and every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from schemas.asyncapi import asyncapi
from schemas.registry import MESSAGES
from schemas.topics import load_topics

RULES = Path(__file__).with_name("asyncapi-3.0-subset.json")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def found(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step.replace("~1", "/").replace("~0", "~")]
    return document


def test_the_document_keeps_the_rules() -> None:
    rules = msgspec.json.decode(RULES.read_bytes())
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.Draft202012Validator(rules).validate(asyncapi())


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi()
    assert all(found(document, reference) for reference in references(document))


def test_an_operation_only_names_messages_of_its_own_channel() -> None:
    for name, operation in asyncapi()["operations"].items():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"]), name


def test_every_topic_is_a_channel_with_its_message_its_writers_and_its_readers() -> None:
    document = asyncapi()
    for name, spec in load_topics().items():
        channel = document["channels"][name]
        assert channel["address"] == name
        assert channel["messages"].keys() == {spec.schema}
        assert channel["bindings"]["kafka"]["partitions"] == spec.partitions
        for part in spec.producers:
            assert document["operations"][f"{part}.sends.{name}"]["action"] == "send"
        for part in spec.consumers:
            assert document["operations"][f"{part}.receives.{name}"]["action"] == "receive"


def test_payloads_are_the_schemas_of_the_messages() -> None:
    document = asyncapi()
    for name, message in document["components"]["messages"].items():
        payload = found(document, message["payload"]["$ref"])
        jsonschema.Draft202012Validator.check_schema(payload)
        assert payload["title"] == name
        assert message["name"] == f"{MESSAGES[name].TYPE}.v{MESSAGES[name].VERSION}"
