"""Folds events, histories and profiles into a person's row."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from operators.interactions import AGAIN, MEANINGS, SHOWN, counted_as, strength_of, takes_back
from operators.profiles.interest import MAX_STRENGTH, QUIZ_GAIN, faded
from operators.profiles.row import Panes, TagRow, UserRow, index_in, new_tag, pane_of, place
from operators.profiles.told import ProfileTold
from operators.windows.counting import increments, tags_of
from schemas.features import PANE_MS
from schemas.telemetry import Event, InteractionType, UserHistory

Adds: TypeAlias = tuple[tuple[int, int], ...]

_GAINS = {kind: meaning.gain for kind, meaning in MEANINGS.items()}
_TAKEN = {kind: meaning.gain if meaning.positive else 0.0 for kind, meaning in MEANINGS.items()}
_TAKES_BACK = {kind: meaning for kind, meaning in MEANINGS.items() if meaning.takes_back is not None}


class Folding:
    r"""Folds events, as the table of operators.interactions says, and profiles into rows.

    A tag's weight w, as of its last event at t', moves at an event at t by the gain g of what the event counts as:

    w ← w · 2^(−(t − t') / half_life) + g    and for an event that comes late    w ← w + g · 2^(−(t' − t) / half_life)

    The strength of a video in `recent` says how much of it was watched (operators.interactions.strength_of): what is watched more raises
    it, what takes the video back makes it 0 and takes the video out of the positives, unless the person took to it later than that. A video
    that was taken back counts again once half of it was watched, or as much was said of it.

    Parameters
    ----------
    interest_half_life
        Time in which a tag's weight halves; short forgets yesterday, long is slow to turn.
    max_tags
        Tags held of a person; beyond it the one that nothing happened to for longest goes, by the order in which events came.
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
        at_ms = event.timestamp_ms
        adds = increments(event)
        gain = taken = 0.0
        for kind in counted_as(event):
            gain += _GAINS[kind]
            taken += _TAKEN[kind]
        row.version += 1
        row.updated_ms = max(row.updated_ms, at_ms)
        if adds and not _add(adds, row.totals, row.panes, at_ms // PANE_MS):
            row.late += 1
        if adds or gain:
            for tag in tags_of(event):
                self._tag(row.tags, tag, at_ms, adds, gain)
        strength = strength_of(event)
        is_new = strength > 0 and self._seen(row, event, strength)
        if taken:
            self._taken(row, event.video_id, taken, at_ms)
            if event.interaction_type is InteractionType.FOLLOW and event.creator_id is not None:
                self._list(row.followed_creators, event.creator_id)
        elif event.interaction_type in _TAKES_BACK:
            self._take_back(row, event)
        return is_new

    def history(self, row: UserRow, history: UserHistory) -> list[str]:
        """Fold what came before the stream: no window, no weight of a tag; return the videos to be marked as seen.

        It is older than any event, whenever it arrives: what an event said of a video already stands. Only a like that was taken back
        or watched again after a skip before its history came stands again.
        """
        row.version += 1
        for video_id in history.watched:
            if index_in(row.recent, video_id) < 0:
                place(row.recent, video_id, 1.0, 0, self.max_taken)
        for kind, video_ids in ((InteractionType.LONG_VIEW, history.long_viewed), (InteractionType.LIKE, history.liked)):
            for video_id in video_ids:
                self._taken(row, video_id, _TAKEN[kind], 0)
        seen = list(dict.fromkeys([*history.watched, *history.long_viewed, *history.liked]))
        row.seen_count += len(seen)
        return seen

    def told(self, row: UserRow, told: ProfileTold) -> None:
        """Take over a profile; a tag of the quiz that was not there before counts as interest in it."""
        row.version += 1
        known = () if row.profile is None else row.profile.quiz
        for tag in () if told.profile is None else told.profile.quiz:
            if tag not in known:
                self._tag(row.tags, tag, told.at_ms, (), QUIZ_GAIN)
        row.profile = told.profile

    def _tag(self, tags: dict[str, TagRow], tag: str, at_ms: int, adds: Adds, gain: float) -> None:
        # The order of the tags is that of their last events, so that the first one is the one to go.
        one = tags.pop(tag, None)
        if one is None:
            if len(tags) >= self.max_tags:
                del tags[next(iter(tags))]
            one = new_tag(at_ms)
        tags[tag] = one
        age_ms = at_ms - one.at_ms
        if age_ms > 0:
            one.weight = faded(one.weight, age_ms, self._half_life_ms) + gain
            one.at_ms = at_ms
        elif gain:
            one.weight += faded(gain, -age_ms, self._half_life_ms)
        _add(adds, one.totals, one.panes, at_ms // PANE_MS)

    def _seen(self, row: UserRow, event: Event, strength: float) -> bool:
        """Put the video among the recent ones: a showing moves it to its time, all else only raises its strength."""
        video_id, at_ms = event.video_id, event.timestamp_ms
        at = index_in(row.recent, video_id)
        if at < 0:
            place(row.recent, video_id, strength, at_ms, self.max_taken)
        else:
            _, before, was_ms = row.recent[at]
            if was_ms == 0:
                before = strength
            elif before > 0 or (strength >= AGAIN and at_ms > was_ms):
                before = max(before, strength)
            if was_ms > 0 and (event.interaction_type is not InteractionType.IMPRESSION or at_ms <= was_ms):
                row.recent[at] = (video_id, before, was_ms)
                return False
            del row.recent[at]
            place(row.recent, video_id, before, at_ms, self.max_taken)
        row.seen_count += 1
        return True

    def _taken(self, row: UserRow, video_id: str, gain: float, at_ms: int) -> None:
        if video_id in row.hidden_videos or _is_taken_back(row, video_id, at_ms):
            return
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

    def _take_back(self, row: UserRow, event: Event) -> None:
        meaning, video_id, creator_id = _TAKES_BACK[event.interaction_type], event.video_id, event.creator_id
        if meaning.takes_back == "video":
            if takes_back(event):
                self._take_video_back(row, video_id, event.timestamp_ms, is_hidden="video" in meaning.hides)
            if "video" in meaning.hides:
                self._list(row.hidden_videos, video_id)
            if "creator" in meaning.hides and creator_id is not None:
                self._list(row.hidden_creators, creator_id)
            return
        self._weaken(row, video_id, meaning.gain)
        if meaning.takes_back == "follow" and creator_id in row.followed_creators:
            row.followed_creators.remove(creator_id)

    def _take_video_back(self, row: UserRow, video_id: str, at_ms: int, *, is_hidden: bool) -> None:
        at = index_in(row.positives, video_id)
        if at >= 0:
            if row.positives[at][2] > at_ms and not is_hidden:
                return
            del row.positives[at]
        at = index_in(row.recent, video_id)
        if at >= 0:
            was_ms = row.recent[at][2]
            del row.recent[at]
            place(row.recent, video_id, 0.0, max(was_ms, at_ms), self.max_taken)

    def _weaken(self, row: UserRow, video_id: str, gain: float) -> None:
        """Take a like or a follow out of a positive; when nothing else speaks for the video it is one that was shown only."""
        at = index_in(row.positives, video_id)
        if at < 0:
            return
        _, strength, was_ms = row.positives[at]
        if strength + gain > SHOWN:
            row.positives[at] = (video_id, strength + gain, was_ms)
            return
        del row.positives[at]
        at = index_in(row.recent, video_id)
        if at >= 0:
            _, strength, was_ms = row.recent[at]
            row.recent[at] = (video_id, min(strength, SHOWN), was_ms)

    def _list(self, listed: list[str], one: str) -> None:
        if one not in listed:
            listed.append(one)
            if len(listed) > self.max_listed:
                del listed[0]


def _is_taken_back(row: UserRow, video_id: str, at_ms: int) -> bool:
    """Return whether a video was taken back at this time or later."""
    at = index_in(row.recent, video_id)
    return at >= 0 and row.recent[at][1] == 0 and row.recent[at][2] >= at_ms


def _add(adds: Adds, totals: list[int], panes: Panes, minute: int) -> bool:
    """Count in the totals and in the minute's pane; return False where it is too late for that.

    What is taken back leaves the totals and the newest pane that holds any, neither falls below 0.
    """
    counts = panes[-1][1] if panes and panes[-1][0] == minute else pane_of(panes, minute) if adds else None
    for counter, n in adds:
        if n < 0:
            totals[counter] = max(totals[counter] + n, 0)
            holding = next((held for _, held in reversed(panes) if held[counter] > 0), None)
            if counts is not None and holding is not None:
                holding[counter] += n
        else:
            totals[counter] += n
            if counts is not None:
                counts[counter] += n
    return counts is not None
