"""Views by topic, with the offsets up to which each topic was taken in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from operators.tables.artifact import Announced, Artifact
from operators.tables.view import SideView
from schemas.codec import DecodeError

V = TypeVar("V", bound=SideView[Any])


class Views:
    """Takes in records by topic, and counts what does not fit.

    Parameters
    ----------
    views
        The views, each of a topic of its own.

    Attributes
    ----------
    offsets : dict of "topic/partition" to int
        Per side topic, the next offset that is not yet in the views. Of an artifact: the one after the announcement that is in use.
    rejected : dict of topic to int
        Records that did not fit their contract.

    Raises
    ------
    ValueError
        If two views are of one topic: what an answer saw of a topic is told by one offset.
    """

    def __init__(self, views: Sequence[SideView[Any]]) -> None:
        self.views: Mapping[str, SideView[Any]] = MappingProxyType({view.topic: view for view in views})
        if len(self.views) < len(views):
            message = f"expected one view of each topic, got {[view.topic for view in views]}, at views"
            raise ValueError(message)
        self.offsets: dict[str, int] = {}
        self.rejected: dict[str, int] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the views."""
        return tuple(self.views)

    @property
    def artifacts(self) -> frozenset[str]:
        """Topics of views that only announce: their offsets count from the installation on, and may go back when a worker starts anew."""
        return frozenset(topic for topic, view in self.views.items() if isinstance(view, Artifact))

    def view(self, kind: type[V]) -> V:
        """Return the view of a class.

        Raises
        ------
        LookupError
            If it is not one of these views.
        """
        found = self.views.get(kind.topic)
        if not isinstance(found, kind):
            message = f"expected a view of {kind.topic}, got {type(found).__name__}, at {kind.__name__}; add it to the list of views"
            raise LookupError(message)
        return found

    def apply(self, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> Announced | None:
        """Take in one record; a null value deletes. A record that does not fit its contract is counted and changes nothing.

        Returns
        -------
        What the record announces: whoever applies it has it loaded, beside the flow, and calls `install`. None for other records.
        """
        view, place = self.views[topic], f"{topic}/{partition}"
        try:
            if isinstance(view, Artifact) and value is not None:
                return Announced(view, view.prepare(key, value, offset), place, offset + 1)
            view.take(key, value, offset)
        except DecodeError:
            self.rejected[topic] = self.rejected.get(topic, 0) + 1
            if isinstance(view, Artifact):
                return None
        self.offsets[place] = offset + 1
        return None

    def install(self, announced: Announced, loaded: Any) -> None:
        """Put what was loaded in use; what is older than what is in use, or was taken back meanwhile, is left."""
        if announced.next_offset > self.offsets.get(announced.place, 0):
            announced.view.install(announced.message, loaded)
            self.offsets[announced.place] = announced.next_offset

    def uninstall(self, place: str) -> None:
        """Take the artifact of `topic/partition` out of use, as before its first announcement."""
        view = self.views[place.rpartition("/")[0]]
        if isinstance(view, Artifact):
            view.uninstall()
        self.offsets.pop(place, None)

    def versions_of(self, *, artifacts: bool) -> dict[str, str]:
        """Return names and versions of what the artifacts hold, or of what the other views hold."""
        views = (view for view in self.views.values() if isinstance(view, Artifact) is artifacts)
        return {name: version for view in views for name, version in view.versions().items()}
