"""From which offset on a compacted topic surely holds the newest record of each key."""

from __future__ import annotations

MAX_KEYS = 1_000_000


class Wholeness:
    """Watches the offsets of a partition go by, and what compaction has left of them.

    A cleaner goes over everything below some offset c and leaves each key there once. The state of the topic at an offset n, "the newest
    record of each key below n", is whole if n >= c; below c the record that was newest then may be gone. c lies past every gap, and no
    further than the second record of a key that stands there twice. So the state is whole from the first repetition of a key after the
    last gap, or from the end if there is none.

    Parameters
    ----------
    start
        The first offset that was asked for; 0 for a topic whose every state counts.
    max_keys
        Keys remembered after a gap; where no key repeats among so many, only the end counts as whole.

    Attributes
    ----------
    missing : int
        Offsets that were not there.

    Examples
    --------
    >>> whole = Wholeness(start=0)
    >>> for offset, key in [(0, b"a"), (3, b"b"), (4, b"a"), (5, b"b"), (6, b"a")]:
    ...     whole.saw(offset, key)
    >>> whole.ended(7)
    >>> whole.missing, whole.whole_from
    (2, 5)
    """

    def __init__(self, *, start: int, max_keys: int = MAX_KEYS) -> None:
        self.max_keys = max_keys
        self.missing = 0
        self._at = start
        self._keys: set[bytes] | None = None
        self._whole_from: int | None = 0

    @property
    def whole_from(self) -> int:
        """From this offset on the newest record of each key is surely there; 0 where nothing is missing."""
        return self._at if self._whole_from is None else self._whole_from

    def saw(self, offset: int, key: bytes | None) -> None:
        """Note the next record."""
        if offset > self._at:
            self._gap(offset - self._at)
        self._at = offset + 1
        if self._keys is None:
            return
        name = key or b""
        if name in self._keys:
            self._whole_from = offset
            self._keys = None
        elif len(self._keys) < self.max_keys:
            self._keys.add(name)

    def ended(self, end: int) -> None:
        """Note the end of the range."""
        if end > self._at:
            self._gap(end - self._at)
            self._at = end

    def _gap(self, offsets: int) -> None:
        self.missing += offsets
        self._whole_from = None
        self._keys = set()
