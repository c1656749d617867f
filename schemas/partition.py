"""Says which partition a key belongs to, and which partitions a worker owns."""

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


def shards_of(partitions: int, worker: int, workers: int) -> range:
    """Return the partitions that one of several workers owns.

    Worker ``w`` of ``W`` owns ``[⌊n w / W⌋, ⌊n (w + 1) / W⌋)`` of ``n`` partitions: contiguous ranges that differ by one in length at most,
    and every partition in exactly one of them. Where there are more workers than partitions, some own none.

    Parameters
    ----------
    partitions
        Number of partitions, 0 or more.
    worker
        Number of the worker, from 0.
    workers
        How many there are, 1 or more.

    Raises
    ------
    ValueError
        If there is no such worker, or the number of partitions is negative.

    Examples
    --------
    >>> [list(shards_of(8, worker, 3)) for worker in range(3)]
    [[0, 1], [2, 3, 4], [5, 6, 7]]
    """
    if partitions < 0:
        text = f"expected 0 or more, got {partitions}, at partitions"
        raise ValueError(text)
    if not 0 <= worker < workers:
        text = f"expected a worker from 0 to {workers - 1} of {workers}, got {worker}, at worker"
        raise ValueError(text)
    return range(partitions * worker // workers, partitions * (worker + 1) // workers)
