"""Which offset may be committed while answers finish out of order."""


class Outstanding:
    """Messages of one partition that were handed out and are not done yet.

    The offset to commit is the first one that is not done, or, with none left, the one after the last handed out. Memory is bounded
    by what is in flight.

    Parameters
    ----------
    start
        The next offset to be handed out.

    Examples
    --------
    >>> part = Outstanding(start=5)
    >>> for offset in (5, 6, 9):
    ...     part.took(offset)
    >>> part.done(6)
    >>> part.commit_offset
    5
    >>> part.done(5)
    >>> part.commit_offset
    9
    >>> part.done(9)
    >>> part.commit_offset
    10
    """

    def __init__(self, start: int) -> None:
        self._open: dict[int, None] = {}
        self._next = start

    def __len__(self) -> int:
        return len(self._open)

    @property
    def commit_offset(self) -> int:
        """The offset from which a new owner must read."""
        return next(iter(self._open), self._next)

    def took(self, offset: int) -> None:
        """Note that a message was handed out; offsets ascend."""
        self._open[offset] = None
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """Note that a message is done; an offset that is not outstanding is ignored."""
        self._open.pop(offset, None)
