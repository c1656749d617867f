"""feed.served ⋈ telemetry.events: what was served, with what came of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from operators.base import Example, State, StreamOperator
from operators.ingest.repeats import RepeatFold
from operators.joins.claims import claims_of
from operators.joins.examples import example_of, passed_over
from operators.joins.inputs import Happened, Input, Reached, Served, sample
from operators.joins.open_views import OpenViews
from operators.joins.outcomes import CLOSES_AFTER, POSITIVE, Outcome, View, open_view, outcome_of
from operators.joins.pages import HeldPage, MemoryPages, PageBulk, PageStore, held
from operators.joins.shelf import PageShelf
from operators.joins.state import JoinState
from operators.joins.waiting import WaitingRoom
from schemas.codec import pack, unpack
from schemas.learning import LabelledExample
from schemas.telemetry import Event, InteractionType

_MS = timedelta(milliseconds=1)


class ServedOutcomes(StreamOperator[Input, LabelledExample]):
    """Joins served items with their outcomes into labelled examples, for the users of one shard.

    An event with a token joins the item that the token names, once its page is there. An event without one, from upstream, joins the
    person's newest page that shows the video and was answered before it; because that page may still be on its way, the choice is made when
    the topic of pages is `settle` past the event. Outcomes of one item are collected until the view is over:

    - its closing outcome (watch time, skip, …) came, and `closes_after` of it has passed on the clock of the events' topic; or
    - `label_window` plus the video's length has passed since the first outcome, on that clock; or
    - event time is that far, and `event_lateness` more (a log that is played fast).

    The clock of a topic is the greatest stamp read from it. Every choice is made by stamps and event times that stand in the topics, never
    by when something was read, so the examples are the same whatever the interleaving, and after a crash.

    Forged, malformed, mismatched, expired and replayed tokens and late outcomes are counted in `counts` and train nothing.

    Parameters
    ----------
    secret
        What tokens are signed with.
    pages
        Where the bulk of the pages stands.
    served_window
        How long after the answer its items can be joined, in event time; pages are held that long.
    label_window
        How long outcomes of a view are waited for when nothing closes it; longer: fewer outcomes missed, later negatives.
    settle
        How far the pages' topic must be past an untracked event before its page is chosen; too short: joins miss slow answers.
    hold
        How long an event waits for a page that has not come.
    event_lateness
        How far event times may run ahead of or behind each other.
    closes_after
        Outcomes that end a view, and how long others of the same view are still taken in.
    negatives
        Most items counted as passed over for each one taken.
    max_pages_per_user, max_pages
        Pages held of one person and in all.
    max_waiting
        Outcomes that wait for a page.

    Examples
    --------
    >>> from operators.joins.inputs import event, page
    >>> join = ServedOutcomes(secret=b"0123456789abcdef", pages=MemoryPages())
    >>> life = join.on_batch([page("u", "r1", 1_000, ["a", "b"]), event("u", "b", InteractionType.SKIP, 2_000, 0)])
    >>> [(one.example_id, one.labels["taken"], one.joined_by) for one in join.on_time(5_000)]
    [('r1/b', 0, 'video')]
    """

    def __init__(
        self,
        *,
        secret: bytes,
        pages: PageStore,
        served_window: timedelta = timedelta(minutes=30),
        label_window: timedelta = timedelta(minutes=5),
        settle: timedelta = timedelta(seconds=1),
        hold: timedelta = timedelta(seconds=30),
        event_lateness: timedelta = timedelta(minutes=5),
        closes_after: Mapping[InteractionType, timedelta] = CLOSES_AFTER,
        negatives: int = 20,
        max_pages_per_user: int = 16,
        max_pages: int = 8_192,
        max_waiting: int = 10_000,
    ) -> None:
        self.secret = secret
        self.pages = pages
        self.served_window = served_window
        self.label_window = label_window
        self.settle = settle
        self.hold = hold
        self.event_lateness = event_lateness
        self.closes_after = closes_after
        self.negatives = negatives
        self.max_pages_per_user = max_pages_per_user
        self.max_pages = max_pages
        self.max_waiting = max_waiting
        self.counts: Counter[str] = Counter()
        self._served_window_ms, self._label_window_ms = served_window // _MS, label_window // _MS
        self._settle_ms, self._hold_ms, self._lateness_ms = settle // _MS, hold // _MS, event_lateness // _MS
        self._closes_after_ms = {kind: after // _MS for kind, after in closes_after.items()}
        self._events_ms = self._watermark_ms = self._served_ms = 0
        self._shelf = PageShelf(max_per_user=max_pages_per_user, max_pages=max_pages)
        self._tracked, self._untracked = OpenViews(), OpenViews()
        self._settling: deque[Outcome] = deque()
        self._waiting, self._unresolved = WaitingRoom(max_waiting=max_waiting), WaitingRoom(max_waiting=max_waiting)
        self._repeats = RepeatFold()

    def on_batch(self, batch: Sequence[Input]) -> list[LabelledExample]:
        """Take in pages, events and the progress of their topics; return the examples that these complete."""
        out: list[LabelledExample] = []
        for one in batch:
            if isinstance(one, Served):
                out += self._on_served(one)
            elif isinstance(one, Happened):
                out += self._on_event(one.event, one.stamp_ms)
            else:
                self._events_ms = max(self._events_ms, one.events_ms)
                self._served_ms = max(self._served_ms, one.served_ms)
                out += self._advance()
        return out

    def on_time(self, now_ms: int) -> list[LabelledExample]:
        """Return the examples that are complete once all that was stamped before `now_ms` has been read."""
        return self.on_batch([Reached(events_ms=now_ms, served_ms=now_ms)])

    @property
    def is_idle(self) -> bool:
        """Whether time alone changes nothing."""
        return not (self._tracked or self._untracked or self._settling)

    def _on_served(self, served: Served) -> list[LabelledExample]:
        self._served_ms = max(self._served_ms, served.stamp_ms)
        record = served.record
        page = held(record, self._served_ms)
        out = self._advance()
        if not record.items or self._shelf.is_repeat(page):
            self.counts["pages_folded"] += 1
            return out
        bulk = PageBulk(record.feature_set, record.model_versions, [item.propensity for item in record.items], record.features)
        page.place = self.pages.put(pack(bulk))
        self.counts["pages"] += 1
        for old in self._shelf.add(page):
            out += self._let_go(old)
        for outcome in self._waiting.take((page.user_id, page.request_id)):
            self._join_tracked(outcome)
        for outcome in self._unresolved.take((page.user_id, ""), lambda one: page.holds(one.video_id) and bool(self._showing(one))):
            self._join_untracked(outcome)
        return out + self._advance()

    def _on_event(self, event: Event, stamp_ms: int) -> list[LabelledExample]:
        if not self._repeats.admits(event.origin):
            self.counts["repeats"] += 1
            return []
        self._events_ms = max(self._events_ms, stamp_ms)
        before_ms = self._watermark_ms
        self._watermark_ms = max(before_ms, event.timestamp_ms)
        if event.tracking_token is not None:
            claims = claims_of(event, self.secret, within_ms=self._served_window_ms, lateness_ms=self._lateness_ms)
            if isinstance(claims, str):
                self.counts[claims] += 1
            else:
                self._join_tracked(outcome_of(event, claims, stamp_ms=self._events_ms, watermark_ms=before_ms))
        elif event.source == "client":
            self.counts["untracked"] += 1
        else:
            self._settling.append(outcome_of(event, None, stamp_ms=self._events_ms, watermark_ms=before_ms))
        return self._advance()

    def _join_tracked(self, outcome: Outcome) -> None:
        found = self._shelf.named(outcome)
        if found is None:
            self.counts["unmatched"] += self._waiting.add((outcome.user_id, outcome.request_id or ""), outcome)
        else:
            self._collect(*found, outcome, outcome.position)

    def _join_untracked(self, outcome: Outcome) -> None:
        if not (showing := self._showing(outcome)):
            self.counts["unmatched"] += self._unresolved.add((outcome.user_id, ""), outcome)
            return
        if outcome.kind is not InteractionType.IMPRESSION:
            # What follows an impression belongs to the page that it was joined to, also where a newer one shows the video again.
            seen = [one for one in showing if outcome.video_id in one[1].closed or self._view(one[0], outcome.video_id) is not None]
            showing = seen or showing
        number, page = max(showing, key=lambda one: (one[1].now_ms, one[0]))
        self._collect(number, page, outcome, page.video_ids().index(outcome.video_id))

    def _showing(self, outcome: Outcome) -> list[tuple[int, HeldPage]]:
        return self._shelf.showing(outcome, within_ms=self._served_window_ms, hold_ms=self._hold_ms)

    def _view(self, number: int, video_id: str) -> View | None:
        return self._tracked.get(number, video_id) or self._untracked.get(number, video_id)

    def _collect(self, number: int, page: HeldPage, outcome: Outcome, position: int) -> None:
        closed = page.closed.get(outcome.video_id)
        if closed is not None:
            self.counts["replayed" if closed & outcome.bits == outcome.bits else "late"] += 1
            return
        view = self._view(number, outcome.video_id)
        if view is None:
            view = open_view(page.request_id, outcome, position, window_ms=self._label_window_ms, lateness_ms=self._lateness_ms)
            (self._tracked if view.by_token else self._untracked).add(number, view)
        if not view.takes(outcome):
            self.counts["late"] += 1
            return
        self.counts["joined"] += 1
        before_ms = view.close_stamp_ms
        view.add(outcome, self._closes_after_ms.get(outcome.kind))
        if view.close_stamp_ms != before_ms:
            (self._tracked if view.by_token else self._untracked).moved(number, view)

    def _advance(self) -> list[LabelledExample]:
        while self._settling and (
            self._settling[0].stamp_ms + self._settle_ms <= self._served_ms or len(self._settling) > self.max_waiting
        ):
            self._join_untracked(self._settling.popleft())
        settled_ms, settled_watermark_ms = self._events_ms, self._watermark_ms
        if self._settling:
            settled_ms, settled_watermark_ms = self._settling[0].stamp_ms, self._settling[0].watermark_ms
        due = self._tracked.take_due(self._events_ms, self._watermark_ms) + self._untracked.take_due(settled_ms, settled_watermark_ms)
        out = [example for number, view in due for example in self._close(number, view)]
        self.counts["unmatched"] += self._waiting.leave_before(self._served_ms - self._hold_ms)
        self.counts["unmatched"] += self._unresolved.leave_before(self._served_ms - self._hold_ms)
        for number in self._shelf.older_than(settled_watermark_ms - self._served_window_ms - self._lateness_ms):
            out += self._let_go(number)
        return out

    def _let_go(self, number: int) -> list[LabelledExample]:
        views = self._tracked.take_page(number) + self._untracked.take_page(number)
        out = [example for view in views for example in self._close(number, view)]
        self._shelf.drop(number)
        return out

    def _close(self, number: int, view: View) -> list[LabelledExample]:
        page = self._shelf[number]
        page.closed[view.video_id] = view.bits
        data = self.pages.get(page.place)
        if data is None:
            self.counts["pages_gone"] += 1
            return []
        bulk = unpack(PageBulk, data)
        example = example_of(view, page, bulk)
        self.counts["examples"] += 1
        if not view.is_positive:
            return [example]
        places = range(len(bulk.propensities))
        if view.by_token:
            ids = page.video_ids()
            among = [place for place in places if not page.closed.get(ids[place], POSITIVE) & POSITIVE]
        else:
            among = [place for place in places if place != view.position]
        # Those passed over stand before what was taken: whoever has read the latter has read the whole choice.
        return [*passed_over(example, page, bulk, among=among, limit=self.negatives), example]

    def snapshot(self) -> State:
        """Return the whole state; its one entry beside the version is msgpack."""
        following, pages = self._shelf.snapshot()
        state = JoinState(
            events_ms=self._events_ms,
            watermark_ms=self._watermark_ms,
            served_ms=self._served_ms,
            following=following,
            pages=pages,
            tracked=self._tracked.snapshot(),
            untracked=self._untracked.snapshot(),
            settling=list(self._settling),
            waiting=self._waiting.snapshot(),
            unresolved=self._unresolved.snapshot(),
            marks=self._repeats.snapshot(),
            counts=dict(self.counts),
        )
        return {"version": self.VERSION, "state": pack(state)}

    def restore(self, state: State) -> None:
        """Become what a snapshot says."""
        self.check_version(state)
        was = unpack(JoinState, state["state"])
        self._events_ms, self._watermark_ms, self._served_ms = was.events_ms, was.watermark_ms, was.served_ms
        self._shelf.restore(was.following, was.pages)
        self._tracked.restore(was.tracked)
        self._untracked.restore(was.untracked)
        self._settling = deque(was.settling)
        self._waiting.restore(was.waiting)
        self._unresolved.restore(was.unresolved)
        self._repeats.restore(was.marks)
        self.counts = Counter(was.counts)

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a small life of two people: pages, tokens, forgeries, events from upstream, repeats, stragglers."""
        secret, pages = b"0123456789abcdef", MemoryPages()
        yield Example(make=lambda: cls(secret=secret, pages=pages), events=sample(secret), finish_ms=10_000_000)
