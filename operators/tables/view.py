"""Views of compacted topics: the only way in which anything outside the request reaches an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from operators.tables.keyed import Keyed
from schemas.base import Message
from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from schemas.learning import Objective
from schemas.validity import key_text

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the views of one worker have in common: rows of videos, creators and tags, and what the ranker takes.

    Parameters
    ----------
    videos, creators, tags
        The row spaces.
    dim
        Entries of a content vector.
    feature_set, n_features
        The ranker's feature set.
    objective
        The objective until a message brings another.
    """

    videos: Keyed
    creators: Keyed
    tags: Keyed
    dim: int
    feature_set: str
    n_features: int
    objective: Objective


class SideView(ABC, Generic[P]):
    """What one compacted topic says, in the form in which answers read it; P is what a record becomes before it is applied.

    Subclasses name their topic and message, and are listed in `operators.tables.side.VIEWS`. All else follows from that list: what a feed
    worker reads, the offsets and versions in the lineage, what is recorded, and what a replay applies. The contract that every view keeps
    is in `operators.view_checks`.
    """

    topic: ClassVar[str]
    message: ClassVar[type[Message]]

    @classmethod
    @abstractmethod
    def made(cls, shared: Shared) -> Self:
        """Return the view of a worker, empty."""

    @abstractmethod
    def prepare(self, key: bytes | None, value: bytes, offset: int) -> P:
        """Decode and check a record; everything that may raise, and it changes nothing.

        Raises
        ------
        DecodeError
            If the record does not fit its contract, or stands under another key than its message says.
        """

    @abstractmethod
    def apply(self, record: P) -> None:
        """Take in what `prepare` returned; cannot raise."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget a key, whether or not it was there; cannot raise."""

    def key(self, key: bytes | None) -> str:
        """Return the key of a record that deletes.

        Raises
        ------
        DecodeError
            If no record of this topic can have such a key.
        """
        return key_text(key)

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in one record; a null value deletes.

        Raises
        ------
        DecodeError
            If the record does not fit its contract; then nothing has changed.
        """
        if value is None:
            self.delete(self.key(key))
        else:
            self.apply(self.prepare(key, value, offset))

    def versions(self) -> Mapping[str, str]:
        """Return what `model_versions` of an answer says of this view: name to version; nothing by default."""
        return {}

    @classmethod
    @abstractmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield examples for the contract checks (operators.view_checks)."""


@dataclass(frozen=True, kw_only=True)
class ViewExample:
    """How to make a view, and records for it: the input of the contract checks.

    Parameters
    ----------
    make
        Makes an empty view.
    records
        Key and message of records that say something, each key once.
    read
        What answers learn of the view, by names and not by rows.
    endless
        Makes key and message of the n-th record of an endless stream, in which every record is new and keys come again.
    bound
        After so many endless records what the view holds must not grow any more.
    files
        Of an artifact: writes the files that `records` announce into a folder.
    """

    make: Callable[[], SideView[Any]]
    records: Sequence[tuple[str, Message]]
    read: Callable[[Any], object]
    endless: Callable[[int], tuple[str, Message]]
    bound: int
    files: Callable[[Path], object] | None = None


def only_key(expected: str, key: bytes | None) -> str:
    """Return the key of a record whose topic has one key.

    Raises
    ------
    DecodeError
        If it is another one.
    """
    if key_text(key) != expected:
        raise DecodeError(ReasonCode.WRONG_TYPE, expected=f"the key {expected!r}", got=repr(key)[:80], path="key")
    return expected
