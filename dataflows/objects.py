"""Immutable objects in a folder: on a disk, or in object storage that fsspec knows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import ConfigError

_PART = ".part"


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """The name of an object, its bytes, and their SHA-256."""

    name: str
    length: int
    digest: bytes


class Objects:
    """Puts, reads, lists and deletes objects by name, ``folder/name``. A put shows all of an object or nothing, as far as the storage can.

    Parameters
    ----------
    url
        A path, or a URL of fsspec (``s3://bucket/folder``, ``memory://folder``).

    Examples
    --------
    >>> objects = Objects("memory://doctest")
    >>> objects.put("0/1.rows", [b"a", b"b"]).length, objects.read("0/1.rows"), objects.names("0")
    (2, b'ab', ['1.rows'])
    >>> objects.delete("0/1.rows")
    >>> objects.read("0/1.rows") is None, objects.names("0")
    (True, [])
    """

    def __init__(self, url: str) -> None:
        self.url = url
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
        self._files, self._root = found
        self._is_local = isinstance(self._files, LocalFileSystem)
        if self._is_local:
            _make_folder(self._root)

    def put(self, name: str, chunks: Iterable[bytes]) -> Stored:
        """Write an object, chunk by chunk; on a disk it gets its name when all of it is there to stay."""
        path = self._path(name)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        digest, length = sha256(), 0
        with self._files.open(path + _PART if self._is_local else path, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                length += len(chunk)
            if self._is_local:
                file.flush()
                os.fsync(file.fileno())
        if self._is_local:
            os.replace(path + _PART, path)
            _sync_folder(path.rpartition("/")[0])
        return Stored(name, length, digest.digest())

    def read(self, name: str) -> bytes | None:
        """Return an object, None where there is none."""
        try:
            return bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder, sorted; of those that a crash left half-written too."""
        path = self._path(folder)
        self._files.invalidate_cache(path)
        try:
            return sorted(str(one).rpartition("/")[2] for one in self._files.ls(path, detail=False))
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _sync_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ConfigError(expected="a folder that can be made", got=str(error), where=path, do="correct PENSTOCK_CHECKPOINTS") from None
