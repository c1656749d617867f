"""What one event, and one history, changes in a person's row."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from operators.profiles.interest import GAINS, MAX_STRENGTH, POSITIVE, SHOWN, faded
from operators.profiles.row import Panes, TagRow, UserRow, index_in, new_tag, pane_of, place
from operators.windows.counting import COUNTED, completion_permille, watch_ms
from schemas.features import PANE_MS, Counter
from schemas.telemetry import Event, InteractionType, UserHistory

Adds: TypeAlias = tuple[tuple[int, int], ...]


_WATCH_MS, _COMPLETION_PERMILLE = int(Counter.WATCH_MS), int(Counter.COMPLETION_PERMILLE)
_NOTHING, _SHOWN, _WATCHED, _TAKEN, _HIDDEN = range(5)


def _plan(kind: InteractionType) -> tuple[Adds, float, int]:
    """Return what an interaction adds (of a watch: the count of watches only), its gain, and what else it does, as plain numbers."""
    step = _NOTHING
    if kind in POSITIVE:
        step = _TAKEN
    elif kind in {InteractionType.NOT_INTERESTED, InteractionType.REPORT}:
        step = _HIDDEN
    elif kind is InteractionType.IMPRESSION:
        step = _SHOWN
    elif kind is InteractionType.WATCH_TIME:
        step = _WATCHED
    return ((int(COUNTED[kind]), 1),) if kind in COUNTED else (), GAINS.get(kind, 0.0), step


_PLANS = {kind: _plan(kind) for kind in InteractionType}


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
        adds, gain, step = _PLANS[event.interaction_type]
        at_ms = event.timestamp_ms
        share = 0
        if step == _WATCHED:
            watched_ms = watch_ms(event.value)
            share = completion_permille(watched_ms, event.duration_ms, event.completed)
            adds = (*adds, (_WATCH_MS, watched_ms), (_COMPLETION_PERMILLE, share))
        row.version += 1
        row.updated_ms = max(row.updated_ms, at_ms)
        if adds and not _add(adds, row.totals, row.panes, at_ms // PANE_MS):
            row.late += 1
        if adds or gain:
            tags = event.tags
            for tag in tags if len(tags) < 2 else dict.fromkeys(tags):
                self._tag(row.tags, tag, at_ms, adds, gain)
        if step in {_SHOWN, _WATCHED}:
            return self._shown(row, event.video_id, at_ms, SHOWN + (1.0 - SHOWN) * share / 1000, moves=step == _SHOWN)
        if step == _TAKEN:
            self._taken(row, event.video_id, gain, at_ms)
            if event.interaction_type is InteractionType.FOLLOW and event.creator_id is not None:
                self._list(row.followed_creators, event.creator_id)
        elif step == _HIDDEN:
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
        if event.interaction_type is InteractionType.REPORT and event.creator_id is not None:
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
