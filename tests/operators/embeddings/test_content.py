from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import UNKNOWN, SimHash, hamming
from operators.embeddings.tokens import mix, token_hash, words
from schemas.catalog import CatalogItem

TEXT = "how to make fresh pasta at home with two eggs some flour and nothing else"


def item(video_id: str, title: str = "", *, tags: tuple[str, ...] = (), creator: str | None = None) -> CatalogItem:
    return CatalogItem(video_id=video_id, title=title, tags=tags, creator_id=creator)


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left.astype(int) @ right.astype(int)) / 127**2


items = st.builds(
    item,
    st.text(string.ascii_lowercase, min_size=1, max_size=8),
    st.text(max_size=40),
    tags=st.lists(st.text(max_size=6), max_size=4).map(tuple),
    creator=st.none() | st.text(max_size=4),
)


@given(st.lists(items, max_size=8), st.sampled_from([64, 128]), st.integers(0, 3))
def test_a_vector_depends_on_nothing_but_its_own_item(batch: list[CatalogItem], dim: int, seed: int) -> None:
    vectors = ContentVectors(dim=dim, seed=seed)
    together = vectors(batch)
    assert together.shape == (len(batch), dim)
    for row, one in zip(together, batch, strict=True):
        assert (vectors([one])[0] == row).all()


@given(items)
def test_a_vector_is_of_unit_length(one: CatalogItem) -> None:
    assert np.linalg.norm(ContentVectors()([one])[0].astype(float)) == pytest.approx(127, abs=4)


def test_the_bytes_of_a_vector_never_change() -> None:
    pinned = CatalogItem(video_id="7", title="Pasta al forno", tags=("cooking",), category="food", creator_id="ada", audio_id="a")
    assert ContentVectors()([pinned])[0, :8].tolist() == [11, 16, 0, 17, -17, -27, 0, -5]
    assert int(SimHash()([pinned])[0]) == 10230760411496229122


def test_videos_with_the_same_tags_are_nearer_than_others() -> None:
    chess = [item(f"c{i}", tags=("chess",), creator=f"cc{i}") for i in range(40)]
    pasta = [item(f"p{i}", tags=("pasta",), creator=f"pc{i}") for i in range(40)]
    vectors = ContentVectors()(chess + pasta)
    assert min(cosine(vectors[0], v) for v in vectors[1:40]) > max(cosine(vectors[0], v) for v in vectors[40:])


def test_a_longer_title_does_not_drown_the_tags() -> None:
    short, long = ContentVectors()([item("1", "pasta", tags=("chess",)), item("2", TEXT, tags=("chess",))])
    assert cosine(short, long) > 0.3


def test_videos_without_any_token_are_near_to_nothing() -> None:
    vectors = ContentVectors()([item(str(i)) for i in range(50)])
    alike = np.triu(vectors.astype(int) @ vectors.astype(int).T, 1) / 127**2
    assert alike.max() < 0.7


def test_a_field_of_weight_zero_is_left_out() -> None:
    by_tag = ContentVectors(creator=0)
    left, right = by_tag([item("1", tags=("a",), creator="x"), item("2", tags=("a",), creator="y")])
    assert (left == right).all()


@pytest.mark.parametrize("wrong", [{"dim": 65}, {"dim": 0}, {"buckets": 1000}, {"title": -1.0}, {"audio": float("nan")}])
def test_a_parameter_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ContentVectors(**wrong)  # type: ignore[arg-type]  # the point of the test


def test_words_are_folded_and_a_run_of_ideographs_gives_pairs() -> None:
    assert words("ＡＢＣ Straße 短视频") == ["abc", "strasse", "短视", "视频"]


def test_the_same_word_in_two_fields_has_two_hashes() -> None:
    assert token_hash("tags", "a") != token_hash("title", "a")


def test_mixing_is_a_bijection_on_neighbours() -> None:
    assert len(np.unique(mix(np.arange(10_000, dtype=np.uint64)))) == 10_000


def test_a_text_with_one_word_changed_is_a_near_duplicate_and_another_text_is_not() -> None:
    one, two, three = SimHash()([item("1", TEXT), item("2", TEXT.replace("fresh", "FRESH!")), item("3", "ten opening traps in chess")])
    assert hamming(one, two) == 0
    assert hamming(one, three) > 15
    changed = SimHash()([item("4", TEXT + " " + TEXT.replace("nothing", "something"))])[0]
    assert hamming(one, changed) <= 16


def test_videos_with_next_to_no_text_are_never_duplicates() -> None:
    hashes = SimHash()([item(str(i), "lol", tags=("39",)) for i in range(5)])
    assert (hashes == UNKNOWN).all()
    assert (hamming(hashes[:, None], hashes[None, :]) == 64).all()


@given(st.lists(st.text(max_size=60), max_size=6))
def test_a_simhash_depends_on_nothing_but_its_own_text(texts: list[str]) -> None:
    together = SimHash(min_words=1)([item(str(i), text) for i, text in enumerate(texts)])
    assert together.tolist() == [int(SimHash(min_words=1)([item("x", text)])[0]) for text in texts]
    assert all((value != UNKNOWN) == bool(words(text)) for value, text in zip(together.tolist(), texts, strict=True))
