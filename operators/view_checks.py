"""Contract checks that every view of a side topic must pass; found by walking the package, so none is left out.

Your own view, in any package: ``check_view(MyView)``. What it holds is compared and measured by pickling it; where that cannot be done (an
inference session), the view says in `__getstate__` what stands for it.
"""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, TypeAlias

import msgspec

import operators
from operators.checks import GROWTH, Check, classes_of, fail
from operators.tables.artifact import Announced, Artifact, ArtifactError
from operators.tables.view import SideView, ViewExample
from operators.tables.views import Views
from schemas.base import Message
from schemas.codec import DecodeError, encode

Kind: TypeAlias = type[SideView[Any]]
Record: TypeAlias = tuple[str, bytes | None]

ORDERS = 6
GARBAGE = (b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"{}", b"[" * 5_000)
ODD: tuple[object, ...] = (None, True, -1, 0, 2**31, 2**70, 1e308, -1e308, "", "a\nb", "x" * 5_000, [], [None], [-1], {}, {"a": None})


def views_of(package: ModuleType = operators) -> list[Kind]:
    """Return every view of a package, by name.

    Raises
    ------
    ContractError
        If a class has `prepare` and `apply` but is no SideView: nothing would check it.
    """
    found: dict[str, Kind] = {}
    for one in classes_of(package):
        if issubclass(one, SideView):
            found[f"{one.__module__}.{one.__qualname__}"] = one
        elif hasattr(one, "prepare") and hasattr(one, "apply"):
            fail(one, "a subclass of operators.tables.view.SideView", "a class with prepare and apply")
    return [found[name] for name in sorted(found)]


def check_view(kind: Kind) -> None:
    """Run every check of a view.

    Raises
    ------
    ContractError
        If it does not keep its contract.
    """
    for _, check in view_checks_of(kind):
        check()


def view_checks_of(kind: Kind) -> Iterator[tuple[str, Check]]:
    """Yield each check of a view, with a name; calling it raises ContractError where the contract is broken.

    Raises
    ------
    ContractError
        If it has no examples.
    """
    examples = list(kind.examples())
    if not examples:
        fail(kind, "at least one example", "none")
    for n, example in enumerate(examples):
        for check in VIEW_CHECKS if example.files is None else (*VIEW_CHECKS, *ARTIFACT_CHECKS):
            yield f"{check.__name__.removeprefix('check_')}-{n}", lambda check=check, example=example: check(kind, example)  # type: ignore[misc]


def check_examples_say_something(kind: Kind, example: ViewExample) -> None:
    """Demand records of the view's message under keys of their own, each of which may be read, and files of an artifact."""
    keys = [key for key, _ in example.records]
    if not keys or len(set(keys)) < len(keys) or not all(isinstance(message, kind.message) for _, message in example.records):
        fail(kind, f"records of {kind.message.__name__}, each key once", repr(example.records)[:200])
    if issubclass(kind, Artifact) is (example.files is None):
        fail(kind, "files in the examples of artifacts, and of those alone", repr(example.files))
    if _read(example, _records(example)) == _read(example, []):
        fail(kind, "records that answers notice", "no difference in what is read")


def check_order_does_not_matter(kind: Kind, example: ViewExample) -> None:
    """Demand that records of different keys give the same reads in any order."""
    records = list(enumerate(_records(example)))
    expected = _read(example, [record for _, record in records])
    for n in range(ORDERS):
        order = records[::-1] if n == 0 else random.Random(n).sample(records, len(records))
        got = _read(example, [record for _, record in order], [offset for offset, _ in order])
        if got != expected:
            fail(kind, "the same reads in any order of the records", f"{got!r:.300} instead of {expected!r:.300}")


def check_newest_record_of_a_key_counts(kind: Kind, example: ViewExample) -> None:
    """Demand that a record replaces the one before it wholly, and that a repeated one changes nothing."""
    records = _records(example)
    expected = _read(example, records)
    for before in ([(example.endless(n)) for n in range(3)], example.records):
        over = [(key, encode(message)) for key, message in before if key in dict(records)]
        if _read(example, [*over, *records]) != expected:
            fail(kind, "a record that replaces the one before", "reads in which the older one shows")


def check_tombstone_takes_back(kind: Kind, example: ViewExample) -> None:
    """Demand that a null value leaves what there would be without the key, and that one for an unknown key changes nothing."""
    records = _records(example)
    for key, value in records:
        others = [record for record in records if record[0] != key]
        for what in ([*records, (key, None)], [(key, None), *others], [*records, (key, None), (key, None)]):
            if _read(example, what) != _read(example, others):
                fail(kind, f"reads as if {key!r} had never been there", "others, after its tombstone")
        if _read(example, [*records, (key, None), (key, value)]) != _read(example, records):
            fail(kind, f"{key!r} as before when it comes again", "others")


def check_garbage_changes_nothing(kind: Kind, example: ViewExample) -> None:
    """Demand that what is no record of the topic is refused, counted, and leaves every byte of the view as it was."""
    view, views = _made(example, _records(example))
    before = _state(view)
    for count, (key, value) in enumerate(_garbage(_records(example)), 1):
        views.apply(kind.topic, 0, 1_000 + count, key, value)
        if views.rejected != {kind.topic: count}:
            fail(kind, f"DecodeError for {value!r:.80} under {key!r:.80}", "a record that was taken")
        if _state(view) != before:
            fail(kind, "a view as it was", f"one that {value!r:.80} changed")


def check_key_is_that_of_the_message(kind: Kind, example: ViewExample) -> None:
    """Demand that a record under another key than its message's is refused."""
    view = example.make()
    for key, value in _records(example):
        for other in (None, b"", b"\xff", key.encode() + b"x", b"x" + key.encode()):
            try:
                view.prepare(other, value, 0)
            except DecodeError:
                continue
            fail(kind, f"DecodeError for the key {other!r} where the message says {key!r}", "a record that was taken")


def check_preparing_touches_nothing(kind: Kind, example: ViewExample) -> None:
    """Demand that `prepare` leaves the view as it was: only `apply` changes it."""
    view = example.make()
    before = _state(view)
    for offset, (key, value) in enumerate(_records(example)):
        view.prepare(key.encode(), value, offset)
    if _state(view) != before:
        fail(kind, "a view as it was", "one that prepare changed")


def check_what_is_prepared_can_be_applied(kind: Kind, example: ViewExample) -> None:
    """Demand that `apply` raises for nothing that `prepare` returned, whatever odd value a field has."""
    for key, message in example.records:
        for value in _odd(message):
            view = example.make()
            try:
                prepared = view.prepare(key.encode(), value, 2**62)
            except DecodeError:
                continue
            try:
                view.apply(prepared)
                example.read(view)
            except Exception as error:
                fail(kind, "a record that can be applied and read", f"{type(error).__name__}: {error} from {value!r:.200}")


def check_memory_is_bounded(kind: Kind, example: ViewExample) -> None:
    """Demand that the view stops growing after `bound` records of an endless stream."""
    view = example.make()
    sizes = []
    for start in range(0, 4 * example.bound, example.bound):
        for n in range(start, start + example.bound):
            key, message = example.endless(n)
            view.take(key.encode(), encode(message), n)
        sizes.append(len(_state(view)))
    if max(sizes[2:]) > GROWTH * max(sizes[:2]) + 64:
        fail(kind, f"a view that stops growing after {example.bound} records", f"bytes {sizes}")


def check_announcement_alone_changes_nothing(kind: Kind, example: ViewExample) -> None:
    """Demand that nothing is in use, and no offset counts, before an artifact is installed."""
    view = example.make()
    views = Views([view])
    empty = example.read(example.make())
    for offset, (key, value) in enumerate(_records(example)):
        announced = views.apply(kind.topic, 0, offset, key.encode(), value)
        if announced is None or example.read(view) != empty or views.offsets:
            fail(kind, "an announcement that waits for its files", f"offsets {views.offsets}")


def check_files_are_those_announced(kind: Kind, example: ViewExample) -> None:
    """Demand that files that are missing, longer, or changed in any place are refused, before anything is loaded."""
    (key, message), *_ = example.records
    view = example.make()
    announced = Views([view]).apply(kind.topic, 0, 0, key.encode(), encode(message))
    if announced is None:
        fail(kind, "an announcement", f"nothing, from {message!r:.200}")
    before = _state(view)
    with TemporaryDirectory() as home:
        _refused(kind, announced, Path(home), "missing files")
        _write(kind, example, Path(home))
        for file in sorted((Path(home) / announced.view.folder / announced.message.path).iterdir()):
            whole = file.read_bytes()
            changed = bytes([whole[0] ^ 1]) + whole[1:]
            for what, value in (("a longer file", whole + b"x"), ("a changed byte", changed), ("an empty file", b"")):
                file.write_bytes(value)
                _refused(kind, announced, Path(home), f"{what}, {file.name}")
            file.write_bytes(whole)
        announced.open(Path(home))
    if _state(view) != before:
        fail(kind, "a view as it was", "one that loading changed")


VIEW_CHECKS: tuple[Callable[[Kind, ViewExample], None], ...] = (
    check_examples_say_something,
    check_order_does_not_matter,
    check_newest_record_of_a_key_counts,
    check_tombstone_takes_back,
    check_garbage_changes_nothing,
    check_key_is_that_of_the_message,
    check_preparing_touches_nothing,
    check_what_is_prepared_can_be_applied,
    check_memory_is_bounded,
)
ARTIFACT_CHECKS: tuple[Callable[[Kind, ViewExample], None], ...] = (
    check_announcement_alone_changes_nothing,
    check_files_are_those_announced,
)


def _records(example: ViewExample) -> list[tuple[str, bytes]]:
    return [(key, encode(message)) for key, message in example.records]


def _made(example: ViewExample, records: Iterable[Record], offsets: Sequence[int] = ()) -> tuple[SideView[Any], Views]:
    """Return a view that has taken in records; what they announce is installed, if its files can be had."""
    view = example.make()
    views = Views([view])
    with TemporaryDirectory() as home:
        _write(type(view), example, Path(home))
        for n, (key, value) in enumerate(records):
            announced = views.apply(view.topic, 0, offsets[n] if offsets else n, key.encode(), value)
            if announced is not None:
                with suppress(ArtifactError):
                    views.install(announced, announced.open(Path(home)))
    return view, views


def _read(example: ViewExample, records: Iterable[Record], offsets: Sequence[int] = ()) -> object:
    view, views = _made(example, records, offsets)
    if views.rejected:
        fail(type(view), "records of the examples that are taken", f"{views.rejected} refused")
    return example.read(view)


def _write(kind: Kind, example: ViewExample, home: Path) -> None:
    if issubclass(kind, Artifact) and example.files is not None:
        example.files(home / kind.folder)


def _refused(kind: Kind, announced: Announced, home: Path, what: str) -> None:
    try:
        announced.open(home)
    except ArtifactError:
        return
    fail(kind, f"ArtifactError for {what}", "files that were loaded")


def _garbage(records: Sequence[tuple[str, bytes]]) -> Iterator[tuple[bytes | None, bytes | None]]:
    for key, value in records:
        yield from ((key.encode(), bad) for bad in GARBAGE)
        yield from ((key.encode(), value[:end]) for end in range(1, len(value), max(len(value) // 40, 1)))
        yield b"\xff", None


def _odd(message: Message) -> Iterator[bytes]:
    """Yield a message in which one field, one entry of a field, or all fields of one type have an odd value."""
    plain = msgspec.json.decode(encode(message))
    for odd in ODD:
        for name, value in plain.items():
            yield json.dumps({**plain, name: odd}).encode()
            yield json.dumps({**plain, **{other: odd for other, one in plain.items() if type(one) is type(value)}}).encode()
            if isinstance(value, list) and value:
                yield json.dumps({**plain, name: [odd, *value[1:]]}).encode()
            if isinstance(value, dict) and value:
                yield json.dumps({**plain, name: {**value, next(iter(value)): odd}}).encode()


def _state(view: SideView[Any]) -> bytes:
    return pickle.dumps(view.__getstate__())
