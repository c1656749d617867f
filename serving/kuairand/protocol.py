"""Which rows of a log a score is made of."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from serving.kuairand.log import KuaiRandLog

WARM_DAYS = 2


def request_id_for(row: int) -> str:
    """Name the request that is made before a row of the clean log.

    Examples
    --------
    >>> request_id_for(17)
    'row-00000017'
    """
    return f"row-{row:08d}"


def row_of(request_id: str | None) -> int | None:
    """Tell which row a request id names, None if it names none; a prefix, such as a run's name, is passed over.

    Examples
    --------
    >>> row_of("run-2/row-00000017"), row_of("something else")
    (17, None)
    """
    found = re.search(r"row-(\d{8,})$", request_id or "")
    return int(found[1]) if found else None


def ranked_rows(log: KuaiRandLog, *, first_day: int | None = None) -> NDArray[np.int64]:
    """Pick the rows whose video an answer should hold.

    They are the long views at the first impression, in the whole stream, of a user and a video that is in none of the user's three
    history lists, from `first_day` on.

    Parameters
    ----------
    log : KuaiRandLog
        The clean log.
    first_day : int or None
        First day that counts, as the log's `date` column has it (20220427), not as a clock would. Default: the third day of the log; the
        two before it are warm-up.

    Returns
    -------
    int64 (n_ranked,)
        Indices of rows of the clean log, in order.
    """
    if first_day is None:
        days = log.days
        if len(days) <= WARM_DAYS:
            return np.empty(0, np.int64)
        first_day = days[WARM_DAYS]
    new = _first_impressions(log) & ~_in_history(log)
    return np.flatnonzero(new & (log["long_view"] != 0) & (log["date"] >= first_day))


def _pairs(users: NDArray[np.int64], videos: NDArray[np.int64]) -> NDArray[np.void]:
    """Return user and video as one comparable value, shape (n,)."""
    both = np.ascontiguousarray(np.stack([users, videos], axis=1))
    return both.view([("user", np.int64), ("video", np.int64)]).ravel()


def _first_impressions(log: KuaiRandLog) -> NDArray[np.bool_]:
    first = np.zeros(len(log), bool)
    first[np.unique(_pairs(log["user_id"], log["video_id"]), return_index=True)[1]] = True
    return first


def _in_history(log: KuaiRandLog) -> NDArray[np.bool_]:
    histories = log.histories
    known = [_pairs(np.repeat(histories.user_id, np.diff(histories.offsets[name])), values) for name, values in histories.values.items()]
    return np.isin(_pairs(log["user_id"], log["video_id"]), np.unique(np.concatenate(known)))
