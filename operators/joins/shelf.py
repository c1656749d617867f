"""The pages that were served of late, by person."""

from __future__ import annotations

from collections.abc import Iterator

from operators.joins.outcomes import Outcome
from operators.joins.pages import HeldPage


class PageShelf:
    """Holds the index of the newest pages, bounded by person and in all; a page's number grows with its coming.

    Parameters
    ----------
    max_per_user
        Pages held of one person, 1 or more; the oldest goes first.
    max_pages
        Pages held in all, 1 or more; the oldest goes first.
    """

    def __init__(self, *, max_per_user: int, max_pages: int) -> None:
        if max_per_user < 1 or max_pages < 1:
            message = f"expected 1 or more, got {min(max_per_user, max_pages)}, at max_per_user, max_pages"
            raise ValueError(message)
        self.max_per_user = max_per_user
        self.max_pages = max_pages
        self._pages: dict[int, HeldPage] = {}
        self._by_user: dict[str, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, number: int) -> HeldPage:
        return self._pages[number]

    def is_repeat(self, page: HeldPage) -> bool:
        """Return whether this very answer is held already (a record read twice, or a hedge that was answered alike)."""
        return any(
            held.request_id == page.request_id and held.now_ms == page.now_ms and held.ids == page.ids for _, held in self.of(page.user_id)
        )

    def named(self, outcome: Outcome) -> tuple[int, HeldPage] | None:
        """Return the page that a token names: request, instant, and the video at its position."""
        for number, page in self.of(outcome.user_id):
            if page.request_id == outcome.request_id and page.now_ms == outcome.now_ms:
                ids = page.video_ids()
                if 0 <= outcome.position < len(ids) and ids[outcome.position] == outcome.video_id:
                    return number, page
        return None

    def showing(self, outcome: Outcome, *, within_ms: int, hold_ms: int) -> list[tuple[int, HeldPage]]:
        """Return the pages that show a video and were answered before something was done with it.

        Parameters
        ----------
        outcome
            What was done.
        within_ms
            The answer is at most this much older, in event time.
        hold_ms
            It came at most this much later, on the clocks of the topics.
        """
        return [
            (number, page)
            for number, page in self.of(outcome.user_id)
            if 0 <= outcome.at_ms - page.now_ms <= within_ms
            and page.stamp_ms <= outcome.stamp_ms + hold_ms
            and page.holds(outcome.video_id)
        ]

    def add(self, page: HeldPage) -> list[int]:
        """Hold a page; return the numbers of those that must go for it (they stay readable until `drop`)."""
        number = self._next
        self._next += 1
        mine = self._by_user.setdefault(page.user_id, [])
        leaving = mine[: max(0, len(mine) + 1 - self.max_per_user)]
        mine.append(number)
        self._pages[number] = page
        if len(self._pages) - len(leaving) > self.max_pages:
            leaving.append(next(number for number in self._pages if number not in leaving))
        return leaving

    def drop(self, number: int) -> None:
        """Let a page go."""
        page = self._pages.pop(number)
        mine = self._by_user[page.user_id]
        mine.remove(number)
        if not mine:
            del self._by_user[page.user_id]

    def older_than(self, now_ms: int) -> list[int]:
        """Return the numbers of the pages at the old end that were answered before an instant."""
        old = []
        for number, page in self._pages.items():
            if page.now_ms >= now_ms:
                break
            old.append(number)
        return old

    def of(self, user_id: str) -> Iterator[tuple[int, HeldPage]]:
        """Yield (number, page) of a person's pages, newest first."""
        for number in reversed(self._by_user.get(user_id, ())):
            yield number, self._pages[number]

    def snapshot(self) -> tuple[int, dict[int, HeldPage]]:
        """Return the next number and the pages by number."""
        return self._next, dict(self._pages)

    def restore(self, following: int, pages: dict[int, HeldPage]) -> None:
        """Become what a snapshot says."""
        self._next = following
        self._pages = dict(pages)
        self._by_user = {}
        for number, page in self._pages.items():
            self._by_user.setdefault(page.user_id, []).append(number)
