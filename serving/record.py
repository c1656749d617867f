"""Copies what a replay needs from the cluster into a folder, which then needs the cluster no more."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from confluent_kafka import Message

from operators.replay.columns import PartWriter, Record
from operators.replay.manifest import (
    REQUESTS,
    RESPONSES,
    SERVED,
    Made,
    Manifest,
    RecordedArtifact,
    RecordedPart,
    digest,
    fingerprint,
)
from operators.replay.wholeness import Wholeness
from operators.tables.artifact import Announcement, Artifact, ArtifactError, check, located
from operators.tables.side import VIEWS
from operators.tables.view import SideView
from schemas import headers
from schemas.codec import DecodeError, decode
from schemas.settings import CHECKOUT, Settings
from serving.errors import ConfigError
from serving.topic_reader import Range, TopicReader

SETTLE_S = 1.0
MARGIN_MS = 5_000

OnProgress = Callable[[str, int, int], None]
"""Told the topic, and how many of all offsets are behind."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished recording: its manifest, its size on disk, and how long it took."""

    manifest: Manifest
    bytes: int
    seconds: float

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum(part.records for part in self.manifest.parts)


def record(
    settings: Settings,
    folder: Path,
    *,
    since_ms: int | None = None,
    on_progress: OnProgress = lambda _topic, _done, _total: None,
    kinds: Sequence[type[SideView[Any]]] = VIEWS,
) -> Recorded:
    """Record the side topics from their beginning, and requests, responses and lineage, up to what is there now.

    Ends are taken in the order responses, lineage, side topics, so that what is recorded of the first is explained by what is
    recorded of the next. Memory stays at a few megabytes, whatever the size of the topics.

    Parameters
    ----------
    settings
        How to reach the broker, and whose artifacts and token key these are.
    folder
        Made here; it must not exist, or be empty.
    since_ms
        Requests, responses and lineage from this instant of the broker on; default: all that the broker has.
    on_progress
        Told how far it is.
    kinds
        The views of a feed worker: their topics are recorded, and the files that artifacts among them announce.

    Raises
    ------
    ConfigError
        If the folder holds something already, or the cluster lacks a topic.
    ServiceError
        If the broker does not answer.
    """
    started = time.monotonic()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(expected="a new or empty folder", got="one that holds something", where=str(folder), do="name another")
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    try:
        manifest = _Recorder(settings, draft, since_ms, on_progress, kinds).run()
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Recorded(manifest, size, time.monotonic() - started)


class _Recorder:
    """One recording on its way."""

    def __init__(
        self, settings: Settings, folder: Path, since_ms: int | None, on_progress: OnProgress, kinds: Sequence[type[SideView[Any]]]
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._since_ms = since_ms
        self._on_progress = on_progress
        self._side = [kind.topic for kind in kinds]
        self._artifacts = {kind.topic: kind for kind in kinds if issubclass(kind, Artifact)}
        self._announced: dict[tuple[str, str], Announcement] = {}
        self._done = 0
        self._total = 0

    def run(self) -> Manifest:
        recorded_ms = time.time_ns() // 1_000_000
        with TopicReader(self._settings, [RESPONSES, SERVED, REQUESTS, *self._side]) as reader:
            ranges = self._ranges(reader)
            self._total = sum(len(one) for one in ranges)
            parts = [self._part(reader, one) for one in ranges]
        manifest = Manifest(
            recorded_ms=recorded_ms,
            since_ms=self._since_ms,
            topic_prefix=self._settings.topic_prefix,
            secret=secret_fingerprint(self._settings),
            made=_made(),
            parts=parts,
            artifacts=[self._copied(topic, one) for (topic, _), one in self._announced.items()],
        )
        manifest.save(self._folder)
        return manifest

    def _ranges(self, reader: TopicReader) -> list[Range]:
        since = self._since_ms
        responses = reader.ranges(RESPONSES, since_ms=since)
        # A response may be there a moment before its lineage.
        time.sleep(SETTLE_S)
        earlier = None if since is None else since - MARGIN_MS
        feed = [*reader.ranges(SERVED, since_ms=earlier), *reader.ranges(REQUESTS, since_ms=earlier), *responses]
        return [*feed, *(one for topic in self._side for one in reader.ranges(topic))]

    def _part(self, reader: TopicReader, wanted: Range) -> RecordedPart:
        file = f"{wanted.topic}-{wanted.partition}.parquet"
        whole = Wholeness(start=0 if wanted.topic in self._side else wanted.start)
        with PartWriter(self._folder / file) as writer:
            for _, message in reader.read([wanted]):
                record = _record(message)
                writer.add(record)
                whole.saw(record.offset, record.key)
                if wanted.topic in self._artifacts:
                    self._announce(wanted.topic, record)
                if record.offset % 1_000 == 0:
                    self._on_progress(wanted.topic, self._done + record.offset + 1 - wanted.start, self._total)
        whole.ended(wanted.end)
        self._done += len(wanted)
        self._on_progress(wanted.topic, self._done, self._total)
        return RecordedPart(
            topic=wanted.topic,
            partition=wanted.partition,
            file=file,
            start=wanted.start,
            end=wanted.end,
            records=writer.records,
            bytes=(self._folder / file).stat().st_size,
            missing=whole.missing,
            whole_from=whole.whole_from,
            sha256=digest(self._folder / file),
        )

    def _announce(self, topic: str, record: Record) -> None:
        try:
            announced = cast("Announcement", decode(self._artifacts[topic].message, record.value or b""))
        except DecodeError:
            return
        self._announced[topic, announced.path] = announced

    def _copied(self, topic: str, announced: Announcement) -> RecordedArtifact:
        """Copy the files of an artifact, if they are there and what was announced."""
        name = self._artifacts[topic].folder
        target, why = self._folder / name / announced.path, ""
        try:
            source = located(self._settings.home / name, announced)
        except ArtifactError:
            why = "its path leads out of the store"
        else:
            why = _copy(source, target, announced)
        return RecordedArtifact(topic=topic, path=announced.path, sha256=announced.sha256, copied=not why, why=why)


def _copy(source: Path, target: Path, announced: Announcement) -> str:
    """Copy a folder; return why there is no copy, empty where there is."""
    try:
        shutil.copytree(source, target)
        check(target, announced)
    except ArtifactError:
        shutil.rmtree(target, ignore_errors=True)
        return "its files are not what was announced"
    except (OSError, ValueError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        return "its files were not in the store"
    return ""


def _record(message: Message) -> Record:
    return Record(
        offset=int(message.offset() or 0),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value or b"") for name, value in headers.pairs(message) or ()),
    )


def secret_fingerprint(settings: Settings) -> str | None:
    """Return the fingerprint of the key that the feed signs tokens with, None where this home has none."""
    if settings.token_secret is not None:
        return fingerprint(blake2b(settings.token_secret.get_secret_value().encode(), digest_size=32).digest())
    try:
        return fingerprint((settings.home / "token.key").read_bytes())
    except OSError:
        return None


def _made() -> Made:
    return Made(
        penstock=version("penstock"),
        commit=_commit(),
        python=platform.python_version(),
        numpy=np.__version__,
        machine=f"{platform.system()} {platform.machine()}",
    )


def _commit() -> str | None:
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
