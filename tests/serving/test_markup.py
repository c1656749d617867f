"""Data with brackets is shown as it is by every command that draws: no text of anybody's is markup, and none ends a command."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from rich.console import Console

from dataflows import replay_report
from dataflows.replay_report import Replayed
from operators.replay.manifest import Manifest
from operators.replay.run import Report
from schemas.feed import FeedResponse, ServedRecord
from schemas.topics import TopicSpec
from serving.cli import doctor, feed, record, topics
from serving.cli.system import table
from serving.demo.summary import DemoSummary
from serving.demo.view import final, live
from serving.local.doctor import Finding
from serving.record import Recorded
from serving.state import SystemState
from serving.topics import Change

ODD = "[/b]"
PLAIN: dict[type, Any] = {
    inspect.StrType: ODD,
    inspect.BytesType: b"",
    inspect.BoolType: False,
    inspect.NoneType: None,
    inspect.FloatType: 1.0,
}


def odd(kind: type[Any]) -> Any:
    """A message of which every text is odd."""
    return msgspec.convert(_filled(inspect.type_info(kind)), kind)


def _filled(kind: Any) -> Any:
    made = PLAIN.get(type(kind), 1)
    match kind:
        case inspect.StructType():
            made = {field.encode_name: _filled(field.type) for field in kind.fields}
        case inspect.DictType():
            made = {_filled(kind.key_type): _filled(kind.value_type)}
        case inspect.ListType() | inspect.VarTupleType():
            made = [_filled(kind.item_type)]
        case inspect.TupleType():
            made = [_filled(one) for one in kind.item_types]
        case inspect.UnionType():
            made = max(map(_filled, kind.types), key=lambda one: isinstance(one, str | dict))
        case inspect.EnumType():
            made = next(iter(kind.cls)).value
        case inspect.LiteralType():
            made = kind.values[0]
    return made


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Console:
    """The console of every command."""
    page = Console(width=400, file=io.StringIO(), highlight=False)
    for module in (doctor, feed, record, topics):
        monkeypatch.setattr(module, "console", page)
    return page


DRAWN: dict[str, tuple[int, Callable[[Console], object]]] = {
    "feed": (6, lambda _: feed._show(odd(FeedResponse))),
    "lineage": (6, lambda _: feed._explain(odd(ServedRecord))),
    "lineage with heads": (8, lambda _: feed._explain(msgspec.structs.replace(odd(ServedRecord), heads=[ODD], head_scores=bytes(4)))),
    "plan": (2, lambda _: topics._show([Change(topic=ODD, action="keep", config={}, detail=ODD)], as_json=False)),
    "recording": (3, lambda _: record._show(Path(ODD), Recorded(odd(Manifest), 1, 1.0))),
    "replay": (
        6,
        lambda page: replay_report.show(page, Replayed(report=odd(Report), manifest=odd(Manifest), seconds=1.0, cpu_seconds=1.0)),
    ),
    "status": (4, lambda page: page.print(table(odd(SystemState)))),
    "demo": (5, lambda page: page.print(live(odd(DemoSummary), 1.0))),
    "summary of the demo": (8, lambda page: page.print(final(odd(DemoSummary)))),
}


@pytest.mark.parametrize("name", DRAWN)
def test_brackets_in_data_are_shown(page: Console, name: str) -> None:
    at_least, draw = DRAWN[name]
    draw(page)
    shown = page.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count(ODD) >= at_least, shown


def test_brackets_in_a_finding_or_a_file_of_topics_are_shown(page: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda _: [Finding(name=ODD, ok=True, found=ODD, wanted=ODD, fix=ODD)])
    monkeypatch.setattr(doctor, "check_up", lambda _: [])
    doctor.doctor()
    spec = TopicSpec(name=ODD, about=ODD, key=ODD, schema=ODD, partitions=1, cleanup="delete", producers=(ODD,), consumers=(ODD,))
    monkeypatch.setattr(topics, "load_topics", lambda: {ODD: spec})
    topics.list_()
    assert page.file.getvalue().count(ODD) == 4 + 5  # type: ignore[attr-defined]
