"""Finds recorded answers and their lineage in the files: places are kept in memory, the records themselves stay on disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from operators.replay.columns import PartReader, Place
from operators.replay.manifest import RESPONSES, SERVED, Manifest
from schemas import headers
from schemas.codec import DecodeError, decode, encode
from schemas.feed import FeedResponse, ServedRecord

OnRead = Callable[[int], None]


class _Who(msgspec.Struct, frozen=True):
    worker: str
    sequence: int
    request_id: str
    offsets: dict[str, int]
    attempt: int = 1


Asked = tuple[str, int]
"""A request and which attempt of the client it was."""


class Served(NamedTuple):
    """Where the lineage of an answer lies; ordered by how much of the side topics it had seen, then by the sequence of its worker.

    What a worker has seen only grows, but for artifacts: also over a restart, since a new process reads every side topic to its end before
    it answers. So the sum of the offsets orders the answers of a worker, whether or not its processes share a name.
    """

    seen: int
    sequence: int
    partition: int
    offset: int
    place: Place
    asked: Asked


class Lineages:
    """The recorded lineage by worker, in the order in which each worker could answer; about 250 bytes of memory an answer.

    Parameters
    ----------
    folder, manifest
        The recording.
    on_read
        Called with the number of records read.
    artifacts
        Topics of artifacts.

    Attributes
    ----------
    unreadable : int
        Records that fit no contract.
    """

    def __init__(self, folder: Path, manifest: Manifest, on_read: OnRead, *, artifacts: Collection[str]) -> None:
        self.artifacts = artifacts
        self.unreadable = 0
        self._readers = {part.partition: PartReader(folder / part.file) for part in manifest.of(SERVED)}
        self._by_worker: dict[str, list[Served]] = {}
        for partition, reader in self._readers.items():
            for group, rows in enumerate(reader.groups(("offset", "value"))):
                for row, (offset, value) in enumerate(rows):
                    self._note(partition, offset, Place(group, row), value)
                on_read(len(rows))
        for found in self._by_worker.values():
            found.sort()

    def _note(self, partition: int, offset: int, place: Place, value: bytes | None) -> None:
        try:
            who = decode(_Who, value or b"")
        except DecodeError:
            self.unreadable += 1
        else:
            seen = sum(end for name, end in who.offsets.items() if name.rpartition("/")[0] not in self.artifacts)
            self._by_worker.setdefault(who.worker, []).append(
                Served(seen, who.sequence, partition, offset, place, (who.request_id, who.attempt))
            )

    @property
    def workers(self) -> dict[str, list[Served]]:
        """The answers of each process, by its name."""
        return self._by_worker

    def load(self, served: Served) -> ServedRecord:
        """Read the lineage of an answer.

        Raises
        ------
        DecodeError
            If it does not fit its contract.
        """
        return decode(ServedRecord, self._readers[served.partition].value(served.place) or b"")

    def close(self) -> None:
        """Close every file."""
        for reader in self._readers.values():
            reader.close()


class _Answered(NamedTuple):
    digest: bytes
    partition: int
    place: Place


class Responses:
    """The recorded responses as digests of their bytes without latency; about 400 bytes of memory each.

    Parameters
    ----------
    folder, manifest
        The recording.
    on_read
        Called with the number of records read.

    Attributes
    ----------
    refused : int
        Responses that carry an error: such a request was never answered by the feed, and has no lineage.
    unreadable : int
        Responses that fit no contract.
    token : str
        The tracking token of some item, empty where there is none.
    """

    def __init__(self, folder: Path, manifest: Manifest, on_read: OnRead) -> None:
        self.refused = 0
        self.unreadable = 0
        self.token = ""
        self._readers = {part.partition: PartReader(folder / part.file) for part in manifest.of(RESPONSES)}
        self._by_request: dict[Asked, list[_Answered]] = {}
        for partition, reader in self._readers.items():
            for group, rows in enumerate(reader.groups(("value", "headers"))):
                for row, (value, fields) in enumerate(rows):
                    self._note(partition, Place(group, row), value, fields)
                on_read(len(rows))

    def unexplained(self, explained: Mapping[Asked, int]) -> int:
        """Return how many different answers went out beyond the number of lineage records of each request and attempt."""
        differing = ((asked, len({one.digest for one in found})) for asked, found in self._by_request.items())
        return sum(max(n - explained.get(asked, 0), 0) for asked, n in differing)

    def _note(self, partition: int, place: Place, value: bytes | None, fields: list[dict[str, Any]] | None) -> None:
        try:
            response = decode(FeedResponse, value or b"")
        except DecodeError:
            self.unreadable += 1
            return
        if response.error is not None:
            self.refused += 1
            return
        if response.items:
            self.token = response.items[0].tracking_token or self.token
        attempt = next((int(one["value"]) for one in fields or () if one["name"] == headers.ATTEMPT and one["value"].isdigit()), 1)
        answered = _Answered(sha256(encode(_untimed(response))).digest(), partition, place)
        self._by_request.setdefault((response.request_id, attempt), []).append(answered)

    def holds(self, asked: Asked) -> bool:
        """Return whether there is a response to this attempt."""
        return asked in self._by_request

    def agrees(self, asked: Asked, response_sha256: str) -> bool:
        """Return whether a recorded response to this attempt has this digest, or there is none."""
        found = self._by_request.get(asked)
        return found is None or any(one.digest.hex() == response_sha256 for one in found)

    def bytes_of(self, asked: Asked) -> bytes | None:
        """Return the first recorded response to an attempt, its latency emptied; None where there is none."""
        for one in self._by_request.get(asked, ()):
            return encode(_untimed(decode(FeedResponse, self._readers[one.partition].value(one.place) or b"")))
        return None

    def close(self) -> None:
        """Close every file."""
        for reader in self._readers.values():
            reader.close()


def _untimed(response: FeedResponse) -> FeedResponse:
    return msgspec.structs.replace(response, latency_ms={})
