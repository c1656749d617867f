"""What one event, and one history, changes in a person's row."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from operators.profiles.interest import GAINS, MAX_STRENGTH, POSITIVE, SHOWN, faded
from operators.profiles.row import Panes, TagRow, UserRow, index_in, new_tag, pane_of, place
from operators.windows.counting import increments
from schemas.features import PANE_MS, Counter
from schemas.telemetry import Event, InteractionType, UserHistory

Adds: TypeAlias = tuple[tuple[Counter, int], ...]

_SHOWING = frozenset({InteractionType.IMPRESSION, InteractionType.WATCH_TIME})
_HIDING = frozenset({InteractionType.NOT_INTERESTED, InteractionType.REPORT})
_FOLLOW = InteractionType.FOLLOW
_IMPRESSION = InteractionType.IMPRESSION
_REPORT = InteractionType.REPORT


class Folding:
    r"""Folds events into rows.

    A tag's weight w, as of its last event at t', moves at an event at t by the gain g of the interaction (operators.profiles.interest):

    w ← w · 2^(−(t − t') / half_life) + g    and for an event that comes late    w ← w + g · 2^(−(t' − t) / half_life)

    Parameters
    ----------
    interest_half_life
        Time in which a tag's weight halves; short forgets yesterday, long is slow to turn.
    max_tags
        Tags held of a person; beyond it the longest idle goes.
    max_taken
        Videos held in `positives` and in `recent`.
    max_listed
        Entries held in each of the hidden and followed lists; beyond it the oldest goes.
    """

    def __init__(self, *, interest_half_life: timedelta, max_tags: int, max_taken: int, max_listed: int) -> None:
        self.interest_half_life = interest_half_life
        self.max_tags = max_tags
        self.max_taken = max_taken
        self.max_listed = max_listed
        self._half_life_ms = interest_half_life // timedelta(milliseconds=1)

    def event(self, row: UserRow, event: Event) -> bool:
        """Fold an event; return whether the video must be marked as seen."""
        kind, at_ms = event.interaction_type, event.timestamp_ms
        row.version += 1
        row.updated_ms = max(row.updated_ms, at_ms)
        adds = increments(event)
        minute = at_ms // PANE_MS
        if adds and not _add(adds, row.totals, row.panes, minute):
            row.late += 1
        gain = GAINS.get(kind, 0.0)
        if adds or gain:
            tags = event.tags
            for tag in tags if len(tags) < 2 else dict.fromkeys(tags):
                self._tag(row.tags, tag, at_ms, adds, gain)
        if kind in _SHOWING:
            share = 0 if kind is _IMPRESSION else adds[2][1]
            return self._shown(row, event.video_id, at_ms, SHOWN + (1.0 - SHOWN) * share / 1000, moves=kind is _IMPRESSION)
        if kind in POSITIVE:
            self._taken(row, event.video_id, GAINS[kind], at_ms)
            if kind is _FOLLOW and event.creator_id is not None:
                self._list(row.followed_creators, event.creator_id)
        elif kind in _HIDING:
            self._hide(row, event)
        return False

    def history(self, row: UserRow, history: UserHistory) -> list[str]:
        """Fold what came before the stream: no window, no weight of a tag; return the videos to be marked as seen.

        It is older than any event, whenever it arrives: what an event said of a video already stands.
        """
        row.version += 1
        for video_id in history.watched:
            if index_in(row.recent, video_id) < 0:
                place(row.recent, video_id, SHOWN, 0, self.max_taken)
        for kind, video_ids in ((InteractionType.LONG_VIEW, history.long_viewed), (InteractionType.LIKE, history.liked)):
            for video_id in video_ids:
                if video_id not in row.hidden_videos:
                    self._taken(row, video_id, GAINS[kind], 0)
        seen = list(dict.fromkeys([*history.watched, *history.long_viewed, *history.liked]))
        row.seen_count += len(seen)
        return seen

    def _tag(self, tags: dict[str, TagRow], tag: str, at_ms: int, adds: Adds, gain: float) -> None:
        one = tags.get(tag)
        if one is None:
            if len(tags) >= self.max_tags:
                del tags[min(tags, key=lambda name: (tags[name].at_ms, name))]
            one = tags[tag] = new_tag(at_ms)
        age_ms = at_ms - one.at_ms
        if age_ms > 0:
            one.weight = faded(one.weight, age_ms, self._half_life_ms) + gain
            one.at_ms = at_ms
        elif gain:
            one.weight += faded(gain, -age_ms, self._half_life_ms)
        _add(adds, one.totals, one.panes, at_ms // PANE_MS)

    def _shown(self, row: UserRow, video_id: str, at_ms: int, strength: float, *, moves: bool) -> bool:
        """Put the video among the recent ones: a showing moves it to its time, a watch end only raises its strength."""
        at = index_in(row.recent, video_id)
        if at < 0:
            place(row.recent, video_id, strength, at_ms, self.max_taken)
        else:
            _, before, was_ms = row.recent[at]
            if was_ms > 0 and (not moves or at_ms <= was_ms):
                row.recent[at] = (video_id, max(before, strength), was_ms)
                return False
            del row.recent[at]
            place(row.recent, video_id, max(before, strength), at_ms, self.max_taken)
        row.seen_count += 1
        return True

    def _taken(self, row: UserRow, video_id: str, gain: float, at_ms: int) -> None:
        at = index_in(row.positives, video_id)
        if at >= 0:
            _, strength, was_ms = row.positives[at]
            if at_ms == 0:
                row.positives[at] = (video_id, strength if was_ms > 0 else max(strength, gain), was_ms)
                return
            del row.positives[at]
            if was_ms > 0:
                gain, at_ms = min(strength + gain, MAX_STRENGTH), max(was_ms, at_ms)
        place(row.positives, video_id, gain, at_ms, self.max_taken)

    def _hide(self, row: UserRow, event: Event) -> None:
        at = index_in(row.positives, event.video_id)
        if at >= 0:
            del row.positives[at]
        self._list(row.hidden_videos, event.video_id)
        if event.interaction_type is _REPORT and event.creator_id is not None:
            self._list(row.hidden_creators, event.creator_id)

    def _list(self, listed: list[str], one: str) -> None:
        if one not in listed:
            listed.append(one)
            if len(listed) > self.max_listed:
                del listed[0]


def _add(adds: Adds, totals: list[int], panes: Panes, minute: int) -> bool:
    """Count in the totals and in the minute's pane; return False where it is too late for that."""
    counts = panes[-1][1] if panes and panes[-1][0] == minute else pane_of(panes, minute) if adds else None
    if counts is None:
        for counter, n in adds:
            totals[counter] += n
        return False
    for counter, n in adds:
        totals[counter] += n
        counts[counter] += n
    return True
