"""What is too big for a record is loaded beside the flow and swapped in between two answers, whatever it is."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import msgspec
import pytest

from dataflows.artifacts import ArtifactLoader
from operators.tables.artifact import Announced, ArtifactError, checksum
from operators.tables.keyed import Keyed
from operators.tables.segments import IndexSegment
from operators.tables.views import Views
from operators.view_checks import check_view
from schemas.codec import decode, encode
from schemas.feed import ServedRecord
from tests.dataflows.answering_step import Step, count, made_step, request
from tests.operators.tables.second_artifact import Priors, PriorsReleased, release, tables_with_priors


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """The step, with a second artifact in its list of views."""
    return made_step(tmp_path, tables_with_priors())


def answered(step: Step) -> tuple[str, int | None]:
    """Version and offset in the lineage of an answer."""
    served = decode(ServedRecord, step.ask(request())[1].value or b"")
    return served.model_versions["priors"], served.offsets.get("models.priors/0")


def announce(step: Step, released: PriorsReleased | None) -> None:
    step.side([("models.priors", "priors", None if released is None else encode(released))])


def test_the_second_artifact_keeps_the_contract_of_views() -> None:
    check_view(Priors)


def test_an_artifact_that_stands_in_the_list_is_loaded_swapped_and_told_in_the_lineage(step: Step, tmp_path: Path) -> None:
    priors = step.answering.engine.tables.view(Priors)
    assert answered(step) == ("none", None)
    first = release(tmp_path / Priors.folder, "1", {"k": 0.5})
    announce(step, first)
    step.settle(lambda: priors.version == "1")
    assert (answered(step), priors.of) == (("1", 1), {"k": 0.5})
    announce(step, msgspec.structs.replace(first, version="2", sha256="00"))
    step.settle(lambda: count(step, "artifact_not_loaded") == 1)
    step.side([("models.priors", "priors", b"{"), ("models.priors", "other", encode(first))])
    assert (answered(step), step.answering.engine.tables.rejected) == (("1", 1), {"models.priors": 2})
    announce(step, None)
    assert answered(step) == ("none", 5)
    announce(step, release(tmp_path / Priors.folder, "3", {}))
    step.settle(lambda: priors.version == "3")
    assert answered(step) == ("3", 6)


def test_what_was_taken_back_while_it_was_loaded_is_not_installed(tmp_path: Path) -> None:
    views = Views([Priors()])
    announced = views.apply("models.priors", 0, 4, b"priors", encode(release(tmp_path / Priors.folder, "1", {})))
    assert announced is not None
    content = announced.open(tmp_path)
    views.apply("models.priors", 0, 5, b"priors", None)
    views.install(announced, content)
    assert (views.view(Priors).version, views.offsets) == ("none", {"models.priors/0": 6})


def test_of_announcements_that_wait_the_newest_of_each_artifact_is_loaded(tmp_path: Path) -> None:
    slow, started, failed = Event(), Event(), list[tuple[str, str]]()

    class Slow(Priors):
        def load(self, folder: Path, announced: PriorsReleased) -> dict[str, float]:
            started.set()
            assert slow.wait(20)
            return super().load(folder, announced)

    views = Views([Slow(), IndexSegment(videos=Keyed())])

    def announced(offset: int, released: PriorsReleased) -> Announced:
        found = views.apply("models.priors", 0, offset, b"priors", encode(released))
        assert found is not None
        return found

    ended = Event()

    def on_failure(one: Announced, error: ArtifactError) -> None:
        failed.append((one.place, str(error)))
        ended.set()

    loader = ArtifactLoader(tmp_path, on_failure=on_failure)
    first, second, third = (release(tmp_path / Priors.folder, str(n), {}) for n in (1, 2, 3))
    loader.offer(announced(0, first))
    assert started.wait(20)
    loader.offer(announced(1, second))
    loader.offer(announced(2, third))
    loader.offer(announced(3, msgspec.structs.replace(third, path="gone")))
    slow.set()
    assert ended.wait(20)
    assert [one.announced.message.version for one in loader.take()] == ["1"]
    assert loader.take() == []
    ((place, why),) = failed
    assert (place, "got no such folder" in why) == ("models.priors/0", True)


@pytest.mark.parametrize("text", ["[]", '{"k": "x"}', "{"])
def test_files_that_are_as_announced_and_cannot_be_loaded_are_an_error_of_the_artifact(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "priors.json").write_text(text)
    released = PriorsReleased(version="1", path="one", sha256=checksum(folder))
    with pytest.raises(ArtifactError, match="expected files that can be loaded, got"):
        Priors().open(tmp_path, released)
