"""SimHash: near-duplicate texts have nearly the same 64 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.embeddings.tokens import token_hash, weighted_sign_sums, words
from schemas.catalog import CatalogItem

UNKNOWN = 0
BITS = 64


class SimHash:
    """The SimHash of a video's text (title and description): words and pairs of neighbouring words.

    Bit b is 1 where Σ_t (+1 or -1, bit b of the hash of t) > 0. Two texts that share a fraction of their tokens agree in about
    1 - angle/π of the bits. Tags, creator and audio take no part: sharing them does not make two videos the same. A video with fewer
    than `min_words` words is UNKNOWN (0), which is never near to anything.

    Parameters
    ----------
    min_words
        Fewest words that say enough, >= 1. With 1, two videos titled "lol" are near-duplicates.

    Raises
    ------
    ValueError
        If `min_words` is below 1.

    Examples
    --------
    >>> text = "how to make fresh pasta at home with two eggs and flour"
    >>> hashes = SimHash()([CatalogItem(video_id="1", title=text), CatalogItem(video_id="2", title=text + "!"), CatalogItem(video_id="3")])
    >>> bool(hashes[0] == hashes[1]), int(hashes[2])
    (True, 0)

    References
    ----------
    Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.
    """

    def __init__(self, *, min_words: int = 3) -> None:
        if min_words < 1:
            msg = f"expected min_words >= 1, got {min_words}"
            raise ValueError(msg)
        self.min_words = min_words

    def __call__(self, items: Sequence[CatalogItem]) -> NDArray[np.uint64]:
        """Return the SimHashes of some videos, shape (n_items,) uint64."""
        hashes: list[int] = []
        counts: list[int] = []
        for item in items:
            found = words(f"{item.title}\n{item.description}")
            if len(found) < self.min_words:
                counts.append(0)
                continue
            tokens = found + [f"{a} {b}" for a, b in zip(found, found[1:], strict=False)]
            hashes.extend(token_hash("text", token) for token in tokens)
            counts.append(len(tokens))
        weights = np.ones(len(hashes), dtype=np.int64)
        sums = weighted_sign_sums(np.array(hashes, dtype=np.uint64), weights, counts)
        result = np.packbits(sums > 0, axis=1, bitorder="little").view("<u8").reshape(len(items)).astype(np.uint64)
        known = np.array(counts, dtype=np.int64) > 0
        result[known & (result == UNKNOWN)] = 1
        return result


def hamming(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits in which SimHashes differ; shapes broadcast. UNKNOWN differs from everything, itself included, in all 64 bits.

    >>> hamming(np.array([3, 0], dtype=np.uint64), np.array([1, 0], dtype=np.uint64)).tolist()
    [1, 64]
    """
    distance = np.bitwise_count(left ^ right)
    unknown = (left == UNKNOWN) | (right == UNKNOWN)
    return np.where(unknown, np.uint8(BITS), distance)
