"""The AsyncAPI 3.0 document of the system: topics as channels, parts as senders and receivers, messages by JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas import headers
from schemas.base import Message
from schemas.registry import MESSAGES
from schemas.topics import TopicSpec, load_topics

_REFERENCE = "#/components/schemas/{name}"


def asyncapi(topics: Mapping[str, TopicSpec] | None = None, *, host: str = "127.0.0.1:9092") -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    topics : Mapping[str, TopicSpec], optional
        Default: those of topics.yaml.
    host : str
        A broker's host and port.

    Examples
    --------
    >>> document = asyncapi()
    >>> document["channels"]["feed.requests"]["messages"]
    {'FeedRequest': {'$ref': '#/components/messages/FeedRequest'}}
    """
    specs = load_topics() if topics is None else topics
    kinds = {spec.schema: MESSAGES[spec.schema] for spec in specs.values()}
    _, schemas = msgspec.json.schema_components(kinds.values(), ref_template=_REFERENCE)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock",
            "version": "1.0.0",
            "description": "Stream-first recommendation engine for short-video feeds: every interaction, request and answer is a message.",
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": host, "protocol": "kafka", "description": "The broker that carries every topic."}},
        "channels": {name: _channel(spec) for name, spec in specs.items()},
        "operations": _operations(specs),
        "components": {
            "messages": {name: _message(kind) for name, kind in kinds.items()},
            "schemas": schemas,
        },
    }


def _channel(spec: TopicSpec) -> dict[str, Any]:
    topic: dict[str, Any] = {"cleanup.policy": [spec.cleanup]}
    if "retention.ms" in spec.config():
        topic["retention.ms"] = int(spec.config()["retention.ms"])
    return {
        "address": spec.name,
        "summary": spec.about,
        "description": f"Record key: {spec.key}.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {spec.schema: {"$ref": f"#/components/messages/{spec.schema}"}},
        "bindings": {"kafka": {"partitions": spec.partitions, "topicConfiguration": topic, "bindingVersion": "0.5.0"}},
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    return {
        "name": f"{kind.TYPE}.v{kind.VERSION}",
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "headers": {"type": "object", "properties": {name: {"type": "string"} for name in _header_names(kind)}},
        "payload": {"$ref": _REFERENCE.format(name=kind.__name__)},
    }


def _header_names(kind: type[Message]) -> list[str]:
    cloud_events = [headers.CE_ID, headers.CE_TYPE, headers.CE_TIME, headers.TRACEPARENT]
    if kind.__name__ in {"FeedRequest", "FeedResponse"}:
        return [headers.CORRELATION_ID, headers.REPLY_TOPIC, headers.REPLY_PARTITION, headers.DEADLINE_MS, headers.ATTEMPT, *cloud_events]
    return cloud_events


def _operations(specs: Mapping[str, TopicSpec]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for name, spec in specs.items():
        for action, verb, parts in (("send", "sends", spec.producers), ("receive", "receives", spec.consumers)):
            for part in parts:
                operations[f"{part}.{verb}.{name}"] = {
                    "action": action,
                    "summary": f"{part} {verb} {spec.schema}",
                    "channel": {"$ref": f"#/channels/{name}"},
                    "messages": [{"$ref": f"#/channels/{name}/messages/{spec.schema}"}],
                }
    return operations
