from hypothesis import given
from hypothesis import strategies as st

from dataflows.kafka.outstanding import Outstanding


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40).map(lambda steps: [sum(steps[: n + 1]) for n in range(len(steps))]), st.data())
def test_what_is_committed_is_never_past_an_open_message(offsets: list[int], data: st.DataObject) -> None:
    part = Outstanding(offsets[0])
    for offset in offsets:
        part.took(offset)
    order = data.draw(st.permutations(offsets))
    open_offsets = set(offsets)
    for offset in order:
        part.done(offset)
        open_offsets.discard(offset)
        assert part.commit_offset == min(open_offsets, default=offsets[-1] + 1)
        assert len(part) == len(open_offsets)


def test_an_offset_that_was_never_handed_out_changes_nothing() -> None:
    part = Outstanding(7)
    part.done(3)
    assert part.commit_offset == 7
    part.took(7)
    part.took(8)
    part.done(99)
    assert part.commit_offset == 7
    assert len(part) == 2
