"""Checkpoints of shards: state and the offsets of the next input, as immutable objects that hold what changed, and a manifest put last."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from dataflows.kafka.batch import Offsets
from dataflows.objects import Objects, Stored
from schemas.errors import ServiceError

logger = logging.getLogger("penstock.checkpoint")

Rows = Mapping[str, bytes | None]
"""Rows by key; None where a row is gone."""

BLOCK_BYTES = 256 << 10
"""Rows are encoded in blocks of this size: the writer holds the interpreter no longer than one of them takes."""
_OURS = re.compile(r"[0-9]+\.(rows|manifest)")
_DIGEST = 32
_LENGTH = 4

_pack = msgspec.msgpack.Encoder().encode
_unpack_rows = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode


class CheckpointError(ServiceError):
    """An object that a manifest names is gone or damaged."""


class Taken(NamedTuple):
    """What a checkpoint adds to the one before it: where the input goes on, the new head and the rows that changed; all rows if whole."""

    offsets: Offsets
    head: bytes
    rows: Rows
    is_whole: bool = False


class Saved(NamedTuple):
    """A checkpoint as it is read: every row once."""

    offsets: Offsets
    head: bytes
    rows: Iterator[tuple[str, bytes]]


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """Names what a checkpoint consists of: objects, oldest first, of which the newest row of a key counts and the newest head."""

    number: int
    offsets: list[tuple[str, int, int]]
    objects: list[Stored]


_unpack_manifest = msgspec.msgpack.Decoder(Manifest).decode


class Checkpoints:
    """Reads and writes the checkpoints of the shards of one part.

    A put writes an object with the rows that changed, then a manifest that names it and those before it; no object is ever written
    again, so a crash between any two steps leaves the checkpoint before it whole. Manifest and objects carry their SHA-256: what is torn
    or damaged is passed over, and the checkpoint before it counts. When there are many objects, the small ones at the end are merged
    into one, from the files alone; each is then more than twice as large as all behind it, so a row is written a number of times that
    grows as the logarithm of the state.

    One process at a time may write a shard.

    Parameters
    ----------
    objects
        Where they are kept, under ``{shard}/``.
    kept
        Checkpoints of a shard that are kept, 2 or more: what is damaged falls back on the one before it.
    most
        Objects of a checkpoint beyond which the small ones are merged, 1 or more.

    Examples
    --------
    >>> checkpoints = Checkpoints(Objects("memory://doctest-checkpoints"))
    >>> checkpoints.put(3, Taken({("events", 3): 7}, b"head", {"a": b"1", "b": b"2"}))
    >>> checkpoints.put(3, Taken({("events", 3): 9}, b"more", {"a": None, "c": b"3"}))
    >>> saved = checkpoints.load(3)
    >>> saved.offsets, saved.head, dict(saved.rows)
    ({('events', 3): 9}, b'more', {'c': b'3', 'b': b'2'})
    >>> checkpoints.load(4) is None
    True
    """

    def __init__(self, objects: Objects, *, kept: int = 2, most: int = 8) -> None:
        if kept < 2 or most < 1:
            text = f"expected kept of 2 or more and most of 1 or more, got {kept} and {most}, at Checkpoints"
            raise ValueError(text)
        self.objects = objects
        self.kept = kept
        self.most = most
        self._known: dict[int, list[Manifest]] = {}
        self._names: dict[int, set[str]] = {}
        self._numbers: dict[int, int] = {}

    def offsets(self, shards: Iterable[int]) -> Offsets:
        """Return where the inputs of shards go on; an input that is not named starts at its earliest message."""
        start: Offsets = {}
        for shard in shards:
            newest = self._newest(shard)
            start.update({} if newest is None else _offsets(newest))
        return start

    def load(self, shard: int) -> Saved | None:
        """Return the newest checkpoint that is whole, None where there is none.

        Raises
        ------
        CheckpointError
            When it was damaged since its offsets were asked for.
        """
        found = None if shard in self._known else self._find(shard)
        newest = self._newest(shard)
        if newest is None:
            return None
        read = found or [self._read(one) for one in newest.objects]
        return Saved(_offsets(newest), next(_frames(read[-1])), _rows(read))

    def put(self, shard: int, taken: Taken) -> None:
        """Write a checkpoint; what is older than those kept goes."""
        newest = self._newest(shard)
        number = self._numbers[shard] = self._numbers[shard] + 1
        stored = self._put(shard, _name(shard, number, "rows"), _encoded(taken.head, taken.rows))
        offsets = {} if newest is None else _offsets(newest)
        places = sorted((*place, offset) for place, offset in (offsets | taken.offsets).items())
        before = [] if newest is None or taken.is_whole else newest.objects
        manifest = Manifest(number, places, [*before, stored])
        self._commit(shard, manifest)
        if len(manifest.objects) > self.most:
            self._merge(shard, manifest)

    def _newest(self, shard: int) -> Manifest | None:
        if shard not in self._known:
            self._find(shard)
        return self._known[shard][-1] if self._known[shard] else None

    def _find(self, shard: int) -> list[bytes]:
        """Find the newest whole checkpoint, and return its objects; what it does not name is deleted when the next one is put."""
        self._known[shard] = []
        # What others put there is left alone.
        names = [name for name in self.objects.names(str(shard)) if _OURS.match(name)]
        self._names[shard] = {f"{shard}/{name}" for name in names}
        self._numbers[shard] = max((int(name.split(".")[0]) for name in names), default=0)
        for name in sorted((name for name in names if name.endswith(".manifest")), reverse=True):
            try:
                manifest = _manifest(self.objects.read(f"{shard}/{name}"), f"{shard}/{name}")
                read = [self._read(one) for one in manifest.objects]
            except CheckpointError as error:
                logger.warning("a checkpoint is passed over: %s", error)
            else:
                self._known[shard] = [manifest]
                return read
        return []

    def _commit(self, shard: int, manifest: Manifest) -> None:
        body = _pack(manifest)
        self._put(shard, _name(shard, manifest.number, "manifest"), [sha256(body).digest(), body])
        known = self._known[shard] = [*self._known[shard], manifest][-self.kept :]
        needed = {one.name for manifest in known for one in manifest.objects}
        needed |= {_name(shard, manifest.number, "manifest") for manifest in known}
        # Manifests go first: what they name is needed as long as they are there.
        for name in sorted(self._names[shard] - needed, key=lambda name: (not name.endswith(".manifest"), name)):
            self.objects.delete(name)
            self._names[shard].discard(name)

    def _merge(self, shard: int, manifest: Manifest) -> None:
        sizes = [one.length for one in manifest.objects]
        at = next((at for at, size in enumerate(sizes[:-1]) if size <= 2 * sum(sizes[at + 1 :])), None)
        if at is None:
            return
        number = self._numbers[shard] = self._numbers[shard] + 1
        read = [self._read(one) for one in manifest.objects[at:]]
        merged = self._put(shard, _name(shard, number, "rows"), _merged(read, is_whole=at == 0))
        self._commit(shard, Manifest(number, manifest.offsets, [*manifest.objects[:at], merged]))

    def _put(self, shard: int, name: str, chunks: Iterable[bytes]) -> Stored:
        self._names[shard].add(name)
        return self.objects.put(name, chunks)

    def _read(self, stored: Stored) -> bytes:
        data = self.objects.read(stored.name)
        if data is None or len(data) != stored.length or sha256(data).digest() != stored.digest:
            raise CheckpointError(
                expected=f"{stored.length} bytes with SHA-256 {stored.digest.hex()}",
                got="none" if data is None else f"{len(data)} bytes that are not those",
                where=f"{stored.name} in {self.objects.url}",
                do="start the part again: it goes on from the checkpoint before",
            )
        return data


def _name(shard: int, number: int, kind: str) -> str:
    return f"{shard}/{number:012d}.{kind}"


def _manifest(data: bytes | None, name: str) -> Manifest:
    body = b"" if data is None else data[_DIGEST:]
    if data is None or sha256(body).digest() != data[:_DIGEST]:
        raise CheckpointError(expected="a manifest behind its SHA-256", got=f"{len(data or b'')} bytes that are none", where=name)
    try:
        return _unpack_manifest(body)
    except msgspec.DecodeError as error:
        raise CheckpointError(expected="a manifest of this version", got=str(error), where=name) from None


def _offsets(manifest: Manifest) -> Offsets:
    return {(topic, partition): offset for topic, partition, offset in manifest.offsets}


def _encoded(head: bytes, rows: Rows) -> Iterator[bytes]:
    yield _framed(head)
    block: list[tuple[str, bytes | None]] = []
    size = 0
    for key, row in rows.items():
        block.append((key, row))
        size += len(key) + len(row or b"")
        if size >= BLOCK_BYTES:
            yield _framed(_pack(block))
            block, size = [], 0
    if block:
        yield _framed(_pack(block))


def _merged(objects: list[bytes], *, is_whole: bool) -> Iterator[bytes]:
    """Yield one object in the place of several; where it is the oldest, rows that are gone need no mention."""
    yield _framed(next(_frames(objects[-1])))
    for block in _newest_rows(objects):
        left = [one for one in block if not (is_whole and one[1] is None)]
        if left:
            yield _framed(_pack(left))


def _rows(objects: list[bytes]) -> Iterator[tuple[str, bytes]]:
    for block in _newest_rows(objects):
        for key, row in block:
            if row is not None:
                yield key, row


def _newest_rows(objects: list[bytes]) -> Iterator[list[tuple[str, bytes | None]]]:
    """Yield the newest row of each key, block by block, the newest object first."""
    seen: set[str] = set()
    for data in reversed(objects):
        frames = _frames(data)
        next(frames)
        for frame in frames:
            block = [one for one in _unpack_rows(frame) if one[0] not in seen]
            seen.update([key for key, _ in block])
            yield block


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH, "big") + data


def _frames(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        yield data[at + _LENGTH : end]
        at = end
