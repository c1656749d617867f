"""A log's rows as messages, in the order in which they became known; nothing is invented.

Request ids, positions, titles, devices and sessions are not in the log, so they are not in the messages. An outcome is known when the
watch ended, at `time_ms + play_time_ms`; only a click on the two-column surface (tab 0) is known at once, since it starts the watch.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.catalog import CatalogItem
from schemas.feed import FeedRequest
from schemas.telemetry import Context, InteractionType, RawEvent, UserHistory
from serving.kuairand.log import KuaiRandLog
from serving.kuairand.protocol import request_id_for

CATALOGUE, HISTORY, REQUEST = "catalogue", "history", "request"
TWO_COLUMN_TAB = 0
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://kuairand.com/penstock")

# What happened at one millisecond is published in this order, so that a request sees nothing of its own impression.
_REQUEST_CODE = 0
_KINDS: tuple[InteractionType, ...] = (
    InteractionType.IMPRESSION,
    InteractionType.WATCH_TIME,
    InteractionType.CLICK,
    InteractionType.LONG_VIEW,
    InteractionType.LIKE,
    InteractionType.FOLLOW,
    InteractionType.COMMENT,
    InteractionType.SHARE,
    InteractionType.NOT_INTERESTED,
    InteractionType.PROFILE_ENTER,
    InteractionType.SKIP,
)
_FLAGS = {
    InteractionType.CLICK: "is_click",
    InteractionType.LONG_VIEW: "long_view",
    InteractionType.LIKE: "is_like",
    InteractionType.FOLLOW: "is_follow",
    InteractionType.COMMENT: "is_comment",
    InteractionType.SHARE: "is_forward",
    InteractionType.NOT_INTERESTED: "is_hate",
    InteractionType.PROFILE_ENTER: "is_profile_enter",
}
_LISTS = {"watched": "watch_seq", "liked": "like_seq", "long_viewed": "long_watch_seq"}
_UPSTREAM = {InteractionType.IMPRESSION, InteractionType.WATCH_TIME, InteractionType.CLICK, InteractionType.LONG_VIEW}


@dataclass(frozen=True, slots=True)
class Publication:
    """One message to publish.

    Parameters
    ----------
    at_ms : int
        When it became known; messages from before the stream carry the instant of its first impression.
    kind : str
        `catalogue`, `history`, `request`, or the interaction type of an event.
    key : str
        The video id of a catalogue item, else the user id.
    message : CatalogItem, UserHistory, FeedRequest or RawEvent
        What to publish.
    row : int or None
        Row of the clean log; None before the stream.
    """

    at_ms: int
    kind: str
    key: str
    message: CatalogItem | UserHistory | FeedRequest | RawEvent
    row: int | None = None


def before_the_stream(log: KuaiRandLog) -> Iterator[Publication]:
    """Yield what was known before the first impression: every catalogue row, then every person's history."""
    start_ms = int(log["time_ms"][0])
    yield from (Publication(start_ms, CATALOGUE, item.video_id, item) for item in _items(log))
    histories = log.histories
    for row, user in enumerate(histories.user_id.tolist()):
        watched, liked, long_viewed = (
            [str(video) for video in histories.of(name, row)] for name in ("watch_seq", "like_seq", "long_watch_seq")
        )
        history = UserHistory(user_id=str(user), watched=watched, liked=liked, long_viewed=long_viewed, source="upstream")
        yield Publication(start_ms, HISTORY, history.user_id, history)


def schedule(log: KuaiRandLog, *, requests: bool = False, limit: int = 100, shadow: bool = True) -> Schedule:
    """Order the stream's messages by the time at which they became known.

    Parameters
    ----------
    log : KuaiRandLog
        The clean log.
    requests : bool
        Whether a feed is asked for before each impression.
    limit : int
        Videos per answer, 1 to 100.
    shadow : bool
        Whether the requests are shadow ones: answered, but nothing is marked as served. Upstream showed something else than the
        answer, so that a video marked as served would be missing from all later answers.
    """
    rows = np.arange(len(log))
    end_ms = log["time_ms"] + log["play_time_ms"]
    at_ms, codes, owners = [], [], []

    def add(code: int, which: NDArray[np.bool_] | slice, when: NDArray[np.int64]) -> None:
        owners.append(rows[which])
        at_ms.append(when[which])
        codes.append(np.full(len(owners[-1]), code, np.int8))

    if requests:
        add(_REQUEST_CODE, slice(None), log["time_ms"])
    for code, kind in enumerate(_KINDS, start=1):
        known_ms = log["time_ms"] if kind is InteractionType.IMPRESSION else end_ms
        if kind is InteractionType.CLICK:
            known_ms = np.where(log["tab"] == TWO_COLUMN_TAB, log["time_ms"], end_ms)
        add(code, _happened(log, kind), known_ms)
    times, kinds, places = np.concatenate(at_ms), np.concatenate(codes), np.concatenate(owners)
    # At one instant requests come first, then impressions, then outcomes row by row.
    stage = np.minimum(kinds, 2)
    order = np.lexsort((kinds, places, stage, times))
    return Schedule(log=log, at_ms=times[order], codes=kinds[order], rows=places[order], limit=limit, shadow=shadow)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stream's messages in order; they are made when they are asked for. `at_ms`, `codes` and `rows` have shape (n_messages,)."""

    log: KuaiRandLog
    at_ms: NDArray[np.int64]
    codes: NDArray[np.int8]
    rows: NDArray[np.int64]
    limit: int
    shadow: bool

    def __len__(self) -> int:
        return len(self.at_ms)

    def __iter__(self) -> Iterator[Publication]:
        columns = {name: values.tolist() for name, values in self.log.columns.items()}
        columns["duration_ms"] = _durations_ms(self.log).tolist()
        for at_ms, code, row in zip(self.at_ms.tolist(), self.codes.tolist(), self.rows.tolist(), strict=True):
            if code == _REQUEST_CODE:
                yield self._request(columns, at_ms, row)
            else:
                yield _event(columns, at_ms, _KINDS[code - 1], row)

    def _request(self, columns: dict[str, list[int]], at_ms: int, row: int) -> Publication:
        user = str(columns["user_id"][row])
        request = FeedRequest(
            user_id=user,
            request_id=request_id_for(row),
            limit=self.limit,
            ts_ms=at_ms,
            context=Context(surface=str(columns["tab"][row])),
            shadow=self.shadow,
        )
        return Publication(at_ms, REQUEST, user, request, row)


def _happened(log: KuaiRandLog, kind: InteractionType) -> NDArray[np.bool_]:
    """Tell for which rows there is a message of a kind, shape (n_rows,)."""
    happened = np.ones(len(log), bool)
    if kind in _FLAGS:
        happened &= log[_FLAGS[kind]] != 0
    elif kind is not InteractionType.IMPRESSION:
        happened &= log["play_time_ms"] > 0
    if kind is InteractionType.SKIP:
        happened &= (log["tab"] != TWO_COLUMN_TAB) & (log["is_click"] == 0)
    return happened


def _event(columns: dict[str, list[int]], at_ms: int, kind: InteractionType, row: int) -> Publication:
    user, video = str(columns["user_id"][row]), str(columns["video_id"][row])
    duration_ms = columns["duration_ms"][row]
    watched_ms = columns["play_time_ms"][row] if kind is InteractionType.WATCH_TIME else None
    event = RawEvent(
        event_id=str(uuid.uuid5(_NAMESPACE, f"{user}:{video}:{columns['time_ms'][row]}:{kind.value}")),
        video_id=video,
        interaction_type=kind,
        timestamp=at_ms,
        value=None if watched_ms is None else watched_ms / 1000,
        completed=None if watched_ms is None or not duration_ms else watched_ms >= duration_ms,
        context=Context(surface=str(columns["tab"][row])),
        source="upstream" if kind in _UPSTREAM else "derived",
    )
    return Publication(at_ms, kind.value, user, event, row)


def _durations_ms(log: KuaiRandLog) -> NDArray[np.int64]:
    """Return each row's duration as logged, else the catalogue's, else 0; shape (n_rows,)."""
    catalogue = dict(zip(log.catalogue.video_id.tolist(), log.catalogue.duration_ms.tolist(), strict=True))
    logged = log["duration_ms"].copy()
    for row in np.flatnonzero(logged <= 0):
        logged[row] = catalogue.get(int(log["video_id"][row]), 0)
    return logged


def _items(log: KuaiRandLog) -> Iterator[CatalogItem]:
    catalogue = log.catalogue
    for row, video in enumerate(catalogue.video_id.tolist()):
        yield CatalogItem(
            video_id=str(video),
            creator_id=catalogue.author_id[row],
            tags=catalogue.tags[row],
            audio_id=catalogue.music_id[row],
            duration_ms=int(catalogue.duration_ms[row]) or None,
            uploaded_ms=catalogue.uploaded_ms[row],
            source="upstream",
        )
