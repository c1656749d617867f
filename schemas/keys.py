"""Redis keys: their names, sizes and lifetimes; the only place where they stand."""

from __future__ import annotations

DAY_MS = 86_400_000

SEEN_BITS = 16_384
SEEN_HASHES = 7
SEEN_GENERATION_DAYS = 5
SEEN_GENERATIONS_READ = 4
SEEN_BEFORE_STREAM = 0

STATE_TTL_S = 30 * 86_400
SEEN_TTL_S = 20 * 86_400
SERVED_TTL_S = 86_400
SERVED_PAGES_KEPT = 128
"""Pages of a person that are kept however old they are; what is older than these is kept for as long as a session."""
SESSION_PAGES_KEPT = 1_024
SERVED_BYTES_KEPT = 786_432
"""Bytes of all kept pages together: 4,096 videos with ids of 128 ASCII characters, on 41 pages of 100 or on 1,024 of four."""

VERSION_BYTES = 8

SYSTEM_OWNER = "penstock:owner"
"""Key of the hash that says which system the rows of people in this database belong to."""


def user_state(user_id: str) -> str:
    """Key of the packed state: 8-byte big-endian version, then msgpack UserState.

    >>> user_state("7")
    'user:state:7'
    """
    return f"user:state:{user_id}"


def user_seen(user_id: str, generation: int) -> str:
    """Key of a Bloom bitmap of SEEN_BITS bits: what the person was shown in one span of SEEN_GENERATION_DAYS.

    >>> user_seen("7", 3815)
    'user:seen:7:3815'
    """
    return f"user:seen:{user_id}:{generation}"


def user_feat(user_id: str) -> str:
    """Key of the readable hash, for people and tools; nothing decides by it.

    >>> user_feat("7")
    'user:feat:7'
    """
    return f"user:feat:{user_id}"


def user_served(user_id: str) -> str:
    """Key of the list of pages answered, msgpack ServedPage, newest last.

    >>> user_served("7")
    'user:served:7'
    """
    return f"user:served:{user_id}"


def video_vector(video_id: str) -> str:
    """Key of a video's vector, as a blob of int8.

    >>> video_vector("9")
    'video:vector:9'
    """
    return f"video:vector:{video_id}"


def seen_generation(at_ms: int) -> int:
    """Return the generation of the seen filter that an instant belongs to; 0 (SEEN_BEFORE_STREAM) is what has no event time.

    >>> seen_generation(1_651_017_600_000)
    3821
    """
    return at_ms // (SEEN_GENERATION_DAYS * DAY_MS)


def seen_generations(now_ms: int) -> list[int]:
    """Return the generations that a reader probes at `now_ms`: the newest SEEN_GENERATIONS_READ, and what was before the stream.

    >>> seen_generations(1_651_017_600_000)
    [3821, 3820, 3819, 3818, 0]
    """
    newest = seen_generation(now_ms)
    oldest = max(newest - SEEN_GENERATIONS_READ, SEEN_BEFORE_STREAM)
    return [*range(newest, oldest, -1), SEEN_BEFORE_STREAM]
