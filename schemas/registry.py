"""Every message class by name, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas import catalog, dlq, features, feed, learning, system, telemetry, users
from schemas.base import Message

_MODULES = (telemetry, users, catalog, features, feed, learning, dlq, system)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _messages() -> Iterator[type[Message]]:
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Message) and value.__module__ == module.__name__:
                yield value


MESSAGES: Mapping[str, type[Message]] = MappingProxyType({kind.__name__: kind for kind in _messages()})
"""Message classes by class name, in the order in which data flows."""


def json_schema(kind: type[Message]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a message, self-contained.

    Examples
    --------
    >>> json_schema(feed.FeedRequest)["$id"]
    'penstock.feed.request.v1'
    """
    schema = msgspec.json.schema(kind)
    return {"$schema": _DIALECT, "$id": f"{kind.TYPE}.v{kind.VERSION}", **schema}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every message by class name."""
    return {name: json_schema(kind) for name, kind in MESSAGES.items()}
