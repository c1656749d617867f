"""The catalogue's records and vectors: recorded input, expected output; equal to the byte, for a vector is a rounding of whole numbers."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Refused, Upsert, VectorUpserts
from schemas.catalog import CatalogItem, ItemVector
from schemas.codec import encode
from tests.dataflows.recordings import Recorded, read_input, read_output, write_input, write_output

FOLDER = "catalog"
TOPIC = "catalog.items"
WORDS = ("pasta", "Sauce", "opening", "trap", "street", "dance", "短视频", "naïve", "10-minute", "garden", "repair", "sunrise")


def made(seed: int, n: int) -> list[Recorded]:
    """Uploads of a small catalogue: changed titles, copies, deletions, videos without a word, and records that are none."""
    random = Random(seed)
    records: list[Recorded] = []

    def add(key: str, value: bytes = b"null", text: str | None = None) -> None:
        records.append(Recorded(topic=TOPIC, offset=len(records), key=key, value=msgspec.Raw(value), text=text))

    for i in range(n):
        name = f"v{random.randrange(n * 2 // 3)}"
        item = CatalogItem(
            video_id=name,
            title=" ".join(random.choices(WORDS, k=random.randrange(6))),
            description=" ".join(random.choices(WORDS, k=random.randrange(9))),
            tags=tuple(random.sample(WORDS, random.randrange(3))),
            creator_id=random.choice((None, "ada", "bob")),
            audio_id=random.choice((None, "a1", "a2")),
            category=random.choice((None, "food", "chess")),
        )
        add(name, encode(item))
        if i % 6 == 0:
            add(f"copy{i}", encode(msgspec.structs.replace(item, video_id=f"copy{i}")))
        if i % 7 == 3:
            add(f"v{random.randrange(n)}")
    add("blank", encode(CatalogItem(video_id="blank")))
    add("torn", text='{"video_id": "torn", ')
    add("other", encode(CatalogItem(video_id="v0")))
    add("v1", b'{"video_id":"v1","title":7}')
    return records


def run(records: list[Recorded], size: int) -> dict[str, Any]:
    """Return the last vector of each video, None where it is deleted, and what was refused."""
    upserts = VectorUpserts(vectors=ContentVectors(seed=7), simhash=SimHash())
    vectors: dict[str, ItemVector | None] = {}
    refused: list[Refused] = []
    taken = [Upsert(one.offset, message.key(), message.value()) for one in records for message in [one.message()]]
    for at in range(0, len(taken), size):
        good, bad, _ = upserts(taken[at : at + size])
        vectors |= good
        refused += bad
    letters = [{"offset": one.offset, "reason": why.reason.value, "got": why.got, "path": why.path} for one, why in refused]
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({"vectors": vectors, "refused": letters}))
    return plain


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_recorded_catalogue_gives_the_expected_vectors_however_it_is_batched(size: int) -> None:
    got, expected = run(read_input(FOLDER), size), read_output(FOLDER)
    assert got["refused"] == expected["refused"]
    assert got["vectors"] == expected["vectors"]


def test_the_recording_holds_deletions_copies_and_each_kind_of_refusal() -> None:
    expected = read_output(FOLDER)
    assert None in expected["vectors"].values()
    assert {one["reason"] for one in expected["refused"]} == {"malformed", "wrong_type"}
    assert expected["vectors"]["copy0"]["simhash"] != 0 == expected["vectors"]["blank"]["simhash"]


def write_missing() -> None:
    """Write the files that are not there."""
    write_input(FOLDER, made(seed=1, n=30))
    write_output(FOLDER, run(read_input(FOLDER), size=1_000))
