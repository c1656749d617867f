"""Reads and writes the manifest of a recording: the one file that names all others, written last."""

from __future__ import annotations

from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.codec import DecodeError, decode
from schemas.errors import ContractError

FORMAT = 1
MANIFEST = "manifest.json"

SERVED = "feed.served"
RESPONSES = "feed.responses"
REQUESTS = "feed.requests"


class RecordingError(ContractError):
    """A folder that is no recording, or not the one that was written."""


class RecordedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of one topic.

    Parameters
    ----------
    topic, partition
        Where the records stood; the name without the cluster's prefix.
    file
        Parquet file in the folder: offset, timestamp_ms, key, value, headers.
    start, end
        The records with start <= offset < end are in the file, as far as the broker still had them.
    records, bytes
        How many there are, and the size of the file.
    missing
        Offsets between `start` and `end` that the broker did not have any more (compaction).
    whole_from
        From this offset on the newest record of each key is surely there: an answer from an earlier state of the topic cannot be
        reproduced. 0 where nothing is missing.
    sha256
        Of the file.
    """

    topic: str
    partition: int
    file: str
    start: int
    end: int
    records: int
    bytes: int
    missing: int
    whole_from: int
    sha256: str


class RecordedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that was announced on a topic; `copied` is False where its files were gone (or not ours to read), `why` says so."""

    topic: str
    path: str
    sha256: str
    copied: bool
    why: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording was made with; arithmetic of another numpy or processor may differ in the last bit."""

    penstock: str
    commit: str | None
    python: str
    numpy: str
    machine: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a recording.

    `secret` is a fingerprint of the key of the tracking tokens, None where it was not known; `since_ms` is set where the feed topics
    were recorded from an instant on (side topics always from their beginning). Manifests from before there were several kinds of artifacts
    list their segments elsewhere: then only the reason why files are missing is not known.
    """

    format: Annotated[int, Meta(ge=1)] = FORMAT
    recorded_ms: int
    since_ms: int | None
    topic_prefix: str
    secret: str | None
    made: Made
    parts: list[RecordedPart]
    artifacts: list[RecordedArtifact] = []

    def of(self, topic: str) -> list[RecordedPart]:
        """Return the partitions of a topic, in order."""
        return sorted((part for part in self.parts if part.topic == topic), key=lambda part: part.partition)

    def save(self, folder: Path) -> None:
        """Write the manifest, all or nothing: a folder without one is a recording that did not end."""
        draft = folder / f".{MANIFEST}"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        draft.replace(folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder.

        Raises
        ------
        RecordingError
            If there is none, or it is not of this format.
        """
        path = folder / MANIFEST
        try:
            manifest = decode(cls, path.read_bytes())
        except OSError:
            do = f"run `penstock record {folder}`"
            raise RecordingError(expected="a finished recording", got=f"no {MANIFEST}", where=str(folder), do=do) from None
        except DecodeError as error:
            raise RecordingError(expected="the manifest of a recording", got=str(error), where=str(path), do="record anew") from None
        if manifest.format != FORMAT:
            do = "replay it with the version that recorded it"
            raise RecordingError(expected=f"format {FORMAT}", got=str(manifest.format), where=str(path), do=do)
        return manifest

    def check(self, folder: Path, part: RecordedPart) -> None:
        """Check the bytes of one file.

        Raises
        ------
        RecordingError
            If the file is missing or not the one that was written.
        """
        got = digest(folder / part.file)
        if got != part.sha256:
            where = str(folder / part.file)
            raise RecordingError(expected=f"sha256 {part.sha256}", got=got or "no file", where=where, do="record anew")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, empty where there is none."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def fingerprint(secret: bytes) -> str:
    """Return what may be told of a secret: equal for equal ones, and no way back.

    >>> fingerprint(b"0123456789abcdef") == fingerprint(b"0123456789abcdef")
    True
    """
    return blake2b(secret, digest_size=8, person=b"penstock.replay").hexdigest()
