"""Asks a broker which requests it understands; Kafka's ApiVersions, which is answered before any authentication."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import NamedTuple

from schemas.settings import Settings

_API_VERSIONS = 18
_WITHIN_S = 4.0
_PORT = 9092


class Needed(NamedTuple):
    """A request that Penstock makes, and the version that it needs at least."""

    name: str
    key: int
    version: int


NEEDED = (
    Needed("Produce with headers and idempotence", 0, 3),
    Needed("Fetch with headers", 1, 4),
    Needed("JoinGroup of static members", 11, 5),
    Needed("InitProducerId", 22, 0),
    Needed("CreatePartitions", 37, 0),
    Needed("IncrementalAlterConfigs", 44, 0),
)


def missing(found: dict[int, tuple[int, int]]) -> list[str]:
    """Return the requests that a broker with these versions does not understand.

    Examples
    --------
    >>> missing({need.key: (0, need.version) for need in NEEDED})
    []
    >>> missing({need.key: (0, 3) for need in NEEDED})
    ['Fetch with headers', 'JoinGroup of static members']
    """
    return [need.name for need in NEEDED if found.get(need.key, (0, -1))[1] < need.version]


def api_versions(settings: Settings) -> dict[int, tuple[int, int]]:
    """Return the lowest and highest version of each request, by its key, that the first bootstrap server understands.

    Raises
    ------
    OSError
        If it does not answer, or not in Kafka's words.
    """
    with _connected(settings, *_address(settings.bootstrap_servers)) as connection:
        body = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, size)
    try:
        _, code, count = struct.unpack_from(">ihi", answer)
        rows = [struct.unpack_from(">hhh", answer, 10 + 6 * row) for row in range(count)]
    except struct.error as error:
        raise OSError(f"no answer of a Kafka broker: {error}") from None  # noqa: EM102
    if code:
        raise OSError(f"error code {code}")  # noqa: EM102
    return {key: (low, high) for key, low, high in rows}


def _address(bootstrap_servers: str) -> tuple[str, int]:
    """Return host and port of the first server, read as the client library reads them.

    >>> _address("kafka.example, b:1"), _address("SASL_SSL://kafka.example:9093"), _address("[::1]:9094")
    (('kafka.example', 9092), ('kafka.example', 9093), ('::1', 9094))
    """
    first = bootstrap_servers.split(",", maxsplit=1)[0].strip().rpartition("://")[2]
    host, colon, port = first.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = first, str(_PORT)
    return host.strip("[]"), int(port)


def _connected(settings: Settings, host: str, port: int) -> socket.socket:
    if not settings.security_protocol.endswith("SSL"):
        return socket.create_connection((host, port), timeout=_WITHIN_S)
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    if settings.ssl_certificate_location is not None:
        context.load_cert_chain(settings.ssl_certificate_location, settings.ssl_key_location)
    return context.wrap_socket(socket.create_connection((host, port), timeout=_WITHIN_S), server_hostname=host)


def _exactly(connection: socket.socket, size: int) -> bytes:
    if not 0 < size < 2**20:
        raise OSError(f"no answer of a Kafka broker: a length of {size}")  # noqa: EM102
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise OSError("the broker closed the connection")  # noqa: EM101
        found += more
    return found
