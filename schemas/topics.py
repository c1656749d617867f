"""Loads topics.yaml, the only place where a topic's name, key, schema, size and clean-up policy stand, and where parts are declared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DEFAULT_MESSAGE_BYTES = 1_048_576
"""What a broker takes where a topic does not say otherwise."""
FRAMING_BYTES = 1_024
"""Room for what stands around a record in its batch."""
_HERE = Path(__file__).resolve().parent


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic as topics.yaml describes it.

    Parameters
    ----------
    name : str
        Name in the cluster, without `Settings.topic_prefix`.
    about : str
        One line for people.
    key : str
        What the record key holds.
    schema : str
        Name of the message class (schemas.registry).
    partitions : int
        How many; a cluster that has more keeps them.
    cleanup : {"delete", "compact"}
        What the broker does with old records.
    retention : str
        How long records of a `delete` topic are kept: a number and s, m, h or d.
    min_compaction_lag : str
        How long every record of a `compact` topic is kept: the replay horizon.
    max_message_bytes : int, optional
        Largest record; the broker's default (1 MiB) without it.
    producers, consumers : tuple of str
        Who writes and who reads.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z]+(\.[a-z]+)+$")]
    about: str
    key: str
    schema: str
    partitions: Annotated[int, Meta(ge=1)]
    cleanup: Literal["delete", "compact"]
    retention: str | None = None
    min_compaction_lag: str | None = None
    max_message_bytes: int | None = None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    @property
    def record_bytes(self) -> int:
        """The most that key, value and headers of one record may have together, in bytes."""
        return (self.max_message_bytes or DEFAULT_MESSAGE_BYTES) - FRAMING_BYTES

    def config(self) -> dict[str, str]:
        """Return the broker's settings of this topic.

        The broker stamps every record itself: ages, retention and compaction lag then do not depend on the clocks, or on the event
        times, of those who write.
        """
        settings = {"cleanup.policy": self.cleanup, "message.timestamp.type": "LogAppendTime"}
        if self.retention is not None:
            settings["retention.ms"] = str(duration_ms(self.retention))
        if self.min_compaction_lag is not None:
            settings["min.compaction.lag.ms"] = str(duration_ms(self.min_compaction_lag))
        if self.max_message_bytes is not None:
            settings["max.message.bytes"] = str(self.max_message_bytes)
        return settings


class PartDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of the system as topics.yaml declares it.

    Parameters
    ----------
    name : str
        Of the part; its consumer group is `penstock.<name>`.
    module : str
        Run as `python -m module`.
    scale : {"one", "group", "shards"}
        How it is spread over processes: not at all; as members of a consumer group, to which the broker hands partitions; or as workers
        that each own a range of partitions and the state of these.
    workers : int
        How many processes there are where nobody says otherwise.
    why : str
        What keeps a part of scale `one` to one process.
    folders : tuple of str
        Folders of the home in which it keeps state that belongs to the topics.
    memory_mb : int
        What one process may take in a container, in MiB.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z]+$")]
    module: str
    scale: Literal["one", "group", "shards"]
    workers: Annotated[int, Meta(ge=1)] = 1
    why: str = ""
    folders: tuple[str, ...] = ()
    memory_mb: Annotated[int, Meta(ge=1)]

    def __post_init__(self) -> None:
        if (self.scale == "one") != bool(self.why) or (self.scale == "one" and self.workers != 1):
            text = f"expected a reason, and 1 worker, of a part of scale one and of no other, got {self.scale}, at {self.name}"
            raise ValueError(text)

    def process_names(self, workers: int) -> list[str]:
        """Return the names of its processes: members of a group are numbered, workers where they are several.

        Examples
        --------
        >>> load_parts()["feed"].process_names(2), load_parts()["ingest"].process_names(1)
        (['feed-0', 'feed-1'], ['ingest'])
        """
        if workers == 1 and self.scale != "group":
            return [self.name]
        return [f"{self.name}-{worker}" for worker in range(workers)]


_Entry = TypeVar("_Entry", TopicSpec, PartDeclaration)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    topics: list[TopicSpec]
    parts: list[PartDeclaration] = []


@cache
def load_parts(path: Path | None = None) -> Mapping[str, PartDeclaration]:
    """Return every part by name, in the order of the file.

    Parameters
    ----------
    path : Path, optional
        Default: topics.yaml of the checkout, or the one in the installed package.

    Raises
    ------
    ValueError
        When the file does not fit its form.
    """
    path = topics_file() if path is None else path
    return _by_name(_read(path).parts, path)


@cache
def load_topics(path: Path | None = None) -> Mapping[str, TopicSpec]:
    """Return every topic by name, in the order of the file.

    Parameters
    ----------
    path : Path, optional
        Default: topics.yaml of the checkout, or the one in the installed package.

    Raises
    ------
    ValueError
        When the file does not fit its form.
    """
    path = topics_file() if path is None else path
    return _by_name(_read(path).topics, path)


def _read(path: Path) -> _File:
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
        for spec in file.topics:
            spec.config()
    except (msgspec.DecodeError, ValueError) as error:
        message = f"expected topics and parts as schemas.topics describes them, got {error}, at {path}; correct the file"
        raise ValueError(message) from None
    return file


def _by_name(entries: list[_Entry], path: Path) -> Mapping[str, _Entry]:
    found = {entry.name: entry for entry in entries}
    if len(found) != len(entries):
        message = f"expected each name once, got a repeated one, at {path}; remove one"
        raise ValueError(message)
    return found


def topics_file() -> Path:
    """Return the path of topics.yaml."""
    packaged = _HERE / "topics.yaml"
    return packaged if packaged.is_file() else _HERE.parent / "topics.yaml"


def duration_ms(text: str) -> int:
    """Read a duration.

    Examples
    --------
    >>> duration_ms("24h")
    86400000

    Raises
    ------
    ValueError
        When the text is no number followed by s, m, h or d.
    """
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        message = f"expected a duration such as 24h, got {text!r}"
        raise ValueError(message)
    return int(match[1]) * _UNITS_MS[match[2]]
