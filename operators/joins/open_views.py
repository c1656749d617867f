"""Views whose outcomes are still being collected."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from operators.joins.outcomes import View

_Key = tuple[int, str]


class OpenViews:
    """Holds open views and hands out those that are due.

    A view is due when the topic's clock has passed `close_stamp_ms` or event time has passed `deadline_ms`. Both are kept in heaps with
    entries that may be out of date (a view that closes earlier than it said first is pushed again), so a call costs O(log n) a closing.
    """

    def __init__(self) -> None:
        self._views: dict[int, dict[str, View]] = {}
        self._by_stamp: list[tuple[int, int, str]] = []
        self._by_deadline: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._views)

    def get(self, page: int, video_id: str) -> View | None:
        """Return the open view of a page's video."""
        return self._views.get(page, {}).get(video_id)

    def add(self, page: int, view: View) -> None:
        """Begin to hold a view."""
        self._views.setdefault(page, {})[view.video_id] = view
        heappush(self._by_stamp, (view.close_stamp_ms, page, view.video_id))
        heappush(self._by_deadline, (view.deadline_ms, page, view.video_id))

    def moved(self, page: int, view: View) -> None:
        """Note that a view's closing was brought forward."""
        heappush(self._by_stamp, (view.close_stamp_ms, page, view.video_id))

    def take_due(self, clock_ms: int, watermark_ms: int) -> list[tuple[int, View]]:
        """Return (page, view) of those that are due, and hold them no longer; in the order of their closing."""
        due = self._pop(self._by_stamp, clock_ms)
        return due + self._pop(self._by_deadline, watermark_ms)

    def take_page(self, page: int) -> list[View]:
        """Return a page's open views, and hold them no longer."""
        return list(self._views.pop(page, {}).values())

    def _pop(self, heap: list[tuple[int, int, str]], reached_ms: int) -> list[tuple[int, View]]:
        due = []
        while heap and heap[0][0] < reached_ms:
            at_ms, page, video_id = heappop(heap)
            view = self.get(page, video_id)
            if view is not None and at_ms in (view.close_stamp_ms, view.deadline_ms):
                due.append((page, view))
                del self._views[page][video_id]
                if not self._views[page]:
                    del self._views[page]
        return due

    def snapshot(self) -> list[tuple[int, View]]:
        """Return all (page, view)."""
        return [(page, view) for page, views in self._views.items() for view in views.values()]

    def restore(self, views: list[tuple[int, View]]) -> None:
        """Become what a snapshot says."""
        self._views = {}
        for page, view in views:
            self._views.setdefault(page, {})[view.video_id] = view
        self._by_stamp = [(view.close_stamp_ms, page, view.video_id) for page, view in views]
        self._by_deadline = [(view.deadline_ms, page, view.video_id) for page, view in views]
        heapify(self._by_stamp)
        heapify(self._by_deadline)
