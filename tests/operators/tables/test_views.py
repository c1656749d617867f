"""The list of views is the one door: what topics.yaml, the docs and the tables of a worker say of it agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.artifact import Artifact
from operators.tables.items import ItemTable
from operators.tables.moderation import ModerationTable
from operators.tables.side import VIEWS, SideTables
from operators.tables.views import Views
from schemas.topics import load_topics
from serving.local.home import Home
from tests.operators.feed_world import tables

ROOT = Path(__file__).resolve().parents[3]


def test_what_the_feed_reads_whole_is_the_list_of_views() -> None:
    compacted = {spec.name: spec.schema for spec in load_topics().values() if spec.cleanup == "compact" and "feed" in spec.consumers}
    assert compacted == {kind.topic: kind.message.__name__ for kind in VIEWS}


def test_the_docs_show_every_view() -> None:
    lines = [line.strip("| ").split(" | ") for line in (ROOT / "docs/picture.md").read_text().splitlines()]
    comes = {kind: "as files" if issubclass(kind, Artifact) else "as a record" for kind in VIEWS}
    shown = [[line[0], line[1], line[2], line[-1]] for line in lines if len(line) == 5 and line[-1].startswith("as ")]
    assert shown == [[kind.__name__, kind.topic, kind.message.__name__, comes[kind]] for kind in VIEWS]


def test_the_files_of_artifacts_are_wiped_with_the_topics(tmp_path: Path) -> None:
    wiped = set(Home(tmp_path).of_parts())
    folders = [tmp_path / kind.folder for kind in VIEWS if issubclass(kind, Artifact)]
    assert all(wiped & {folder, *folder.parents} for folder in folders)
    assert len(set(folders)) == len(folders)


def test_versions_are_those_of_the_views_and_of_the_features() -> None:
    assert tables([]).versions() == {"online": "0", "objective": INITIAL_OBJECTIVE.version, "features": FEATURE_SET, "index": "none"}


def test_two_views_of_one_topic_are_refused() -> None:
    view = tables([]).view(ItemTable)
    with pytest.raises(ValueError, match="expected one view of each topic"):
        Views([view, view])


def test_a_view_that_is_not_in_the_list_is_named() -> None:
    with pytest.raises(LookupError, match="expected a view of control.moderation, got NoneType, at ModerationTable"):
        SideTables(
            feature_set=FEATURE_SET,
            n_features=N_FEATURES,
            objective=INITIAL_OBJECTIVE,
            kinds=[kind for kind in VIEWS if kind is not ModerationTable],
        )
