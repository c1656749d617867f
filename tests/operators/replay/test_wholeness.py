from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.replay.wholeness import Wholeness

KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=30)


def watched(keys: list[bytes], kept: list[int], **options: int) -> Wholeness:
    whole = Wholeness(start=0, **options)
    for offset in kept:
        whole.saw(offset, keys[offset])
    whole.ended(len(keys))
    return whole


def state(keys: list[bytes], offsets: list[int], end: int) -> dict[bytes, int]:
    return {keys[offset]: offset for offset in offsets if offset < end}


@given(KEYS, st.integers(0, 30), st.integers(1, 4))
def test_from_there_on_the_state_is_what_it_was_before_compaction(keys: list[bytes], cleaned: int, max_keys: int) -> None:
    newest = state(keys, list(range(len(keys))), cleaned)
    kept = [offset for offset, key in enumerate(keys) if offset >= cleaned or newest[key] == offset]
    whole = watched(keys, kept, max_keys=max_keys)
    assert whole.missing == len(keys) - len(kept)
    assert whole.whole_from <= len(keys)
    for end in range(whole.whole_from, len(keys) + 1):
        assert state(keys, kept, end) == state(keys, list(range(len(keys))), end)


@given(KEYS)
def test_a_topic_without_gaps_is_whole_from_its_beginning(keys: list[bytes]) -> None:
    whole = watched(keys, list(range(len(keys))))
    assert (whole.missing, whole.whole_from) == (0, 0)


def test_records_that_are_gone_at_both_ends_count() -> None:
    whole = Wholeness(start=0)
    whole.saw(2, b"a")
    whole.ended(5)
    assert (whole.missing, whole.whole_from) == (4, 5)
