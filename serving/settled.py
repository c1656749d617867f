"""Waits until the running system has worked off what stands in front of it."""

from __future__ import annotations

import time

from serving.local.home import Home
from serving.state import read_state

_LOOKS = 3


def wait_until_settled(home: Home, *, timeout: float) -> bool:
    """Return True once no part has had anything in front of it for three looks in a row, False after `timeout` seconds.

    Where no supervisor of this home says how its parts are (a cluster that somebody else runs), True is returned at once.
    """
    deadline = time.monotonic() + timeout
    calm = 0
    while time.monotonic() < deadline:
        state = read_state(home)
        if state is None:
            return True
        calm = calm + 1 if all(not part.lag for part in state.parts) else 0
        if calm >= _LOOKS:
            return True
        time.sleep(1.1)
    return False
