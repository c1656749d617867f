"""The one partitioner: which partition a key belongs to."""

from zlib import crc32


def partition_for(key: bytes, partitions: int) -> int:
    """Map a key to a partition, the same in every program and language.

    ``crc32(key) mod n`` (IEEE polynomial, unsigned), which is librdkafka's ``consistent`` partitioner.

    Parameters
    ----------
    key
        The record key; an empty key is a key like any other.
    partitions
        Number of partitions of the topic, 1 or more.

    Returns
    -------
    int
        A partition in ``[0, partitions)``.

    Raises
    ------
    ZeroDivisionError
        When ``partitions`` is 0.

    Examples
    --------
    >>> partition_for(b"user-1", 8)
    4
    >>> partition_for(b"user-1", 1)
    0
    """
    return crc32(key) % partitions
