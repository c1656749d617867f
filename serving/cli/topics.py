"""`penstock topics plan|apply|list|tail`."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from rich.markup import escape
from rich.table import Table

from schemas import headers
from schemas.topics import load_topics
from serving.cli.output import JsonOption, console, print_json
from serving.connect import connected_settings
from serving.errors import ConfigError
from serving.topic_reader import TopicReader
from serving.topics import Change, apply_topics, plan_topics

app = typer.Typer(add_completion=False, help="Topics: what the cluster has, what topics.yaml says, what is on them.", no_args_is_help=True)

_COLOURS = {"create": "green", "grow": "yellow", "configure": "yellow", "keep": "blue"}


@app.command(epilog="Example: penstock topics plan")
def plan(as_json: JsonOption = False) -> None:
    """Show what apply would do: topics to create, to give more partitions, to configure."""
    _show(_plan(), as_json=as_json)


@app.command(epilog="Example: penstock topics apply")
def apply(as_json: JsonOption = False) -> None:
    """Make the cluster agree with topics.yaml; never deletes a topic, never takes partitions away."""
    changes = _plan()
    apply_topics(_admin(), changes)
    _show(changes, as_json=as_json)


@app.command("list", epilog="Example: penstock topics list --json")
def list_(as_json: JsonOption = False) -> None:
    """Show every topic of topics.yaml."""
    specs = load_topics().values()
    if as_json:
        print_json(list(specs))
        return
    table = Table()
    for heading in ("topic", "key", "schema", "partitions", "clean-up", "written by", "read by"):
        table.add_column(heading, overflow="fold")
    for spec in specs:
        kept = spec.retention or spec.min_compaction_lag or ""
        cells = (spec.name, spec.key, spec.schema, str(spec.partitions), f"{spec.cleanup} {kept}")
        table.add_row(*map(escape, (*cells, ", ".join(spec.producers), ", ".join(spec.consumers))))
    console.print(table)


@app.command(epilog="Example: penstock topics tail feed.served --from-beginning --max 10 --json")
def tail(
    topic: Annotated[str, typer.Argument(help="Name as in topics.yaml.")],
    *,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest record, end with the newest.")] = False,
    max_records: Annotated[int | None, typer.Option("--max", min=1, help="Show so many at most.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the records of a topic as they come; with --from-beginning those that are there."""
    if topic not in load_topics():
        raise ConfigError(expected="a topic of topics.yaml", got=topic, where="the command line", do="run `penstock topics list`")
    with (
        suppress(KeyboardInterrupt),
        TopicReader(connected_settings(), [topic], start="earliest" if from_beginning else "latest") as reader,
    ):
        for _, message in islice(reader.advance() if from_beginning else reader.follow(), max_records):
            shown = as_shown(message)
            if as_json:
                print_json(shown)
            else:
                console.out(f"{shown['partition']}/{shown['offset']} {shown['key']}: {msgspec.json.encode(shown['value']).decode()}")


def as_shown(message: Message) -> dict[str, Any]:
    """Return a record for people: JSON as JSON, text as text, any other bytes in base64."""
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp()[1],
        "key": readable(message.key()),
        "headers": {str(header[0]): readable(header[1]) for header in headers.pairs(message) or ()},
        "value": parsed(message.value()),
    }


def readable(data: str | bytes | None) -> Any:
    """Return bytes as text where they are text; else they are left to become base64.

    Examples
    --------
    >>> readable(b"42")
    '42'
    """
    try:
        return data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        return data


def parsed(data: str | bytes | None) -> Any:
    """Return JSON as what it says; anything else as :func:`readable` does.

    Examples
    --------
    >>> parsed(b'{"a":1}'), parsed(b"{")
    ({'a': 1}, '{')
    """
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return readable(data)


def _admin() -> AdminClient:
    return AdminClient({**connected_settings().kafka(), "log_level": 0})


def _plan() -> list[Change]:
    return plan_topics(_admin(), load_topics().values(), prefix=connected_settings().topic_prefix)


def _show(changes: list[Change], *, as_json: bool) -> None:
    if as_json:
        print_json(changes)
    elif not changes:
        console.print("the cluster agrees with topics.yaml")
    for change in () if as_json else changes:
        console.print(f"[{_COLOURS[change.action]}]{change.action:<10}[/]{escape(change.topic)}  {escape(change.detail)}")
