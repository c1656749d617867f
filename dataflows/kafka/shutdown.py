"""Ends a flow from the outside, with its last epoch closed."""

import signal
from types import FrameType
from typing import Self


class Shutdown:
    """Asks sources to end at their next batch.

    bytewax does not close its sources on SIGTERM. A source that holds one of these ends its input instead, so the engine
    closes the epoch, takes the snapshots, calls ``close`` on every part and returns; the process exits with code 0.

    Examples
    --------
    >>> shutdown = Shutdown()
    >>> shutdown.requested
    False
    >>> shutdown.request()
    >>> shutdown.requested
    True
    """

    def __init__(self) -> None:
        self._requested = False

    @property
    def requested(self) -> bool:
        """Whether sources have to end."""
        return self._requested

    def request(self) -> None:
        """Ask all sources that hold this object to end; safe from any thread."""
        self._requested = True

    def on_signals(self) -> Self:
        """Let SIGTERM and SIGINT request the end; a second SIGINT interrupts at once, as usual.

        Raises
        ------
        ValueError
            When called outside the main thread.
        """
        interrupt = signal.getsignal(signal.SIGINT)

        def handle(number: int, _frame: FrameType | None) -> None:
            self._requested = True
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, interrupt)

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
        return self
