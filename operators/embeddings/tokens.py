"""Words of a text, and 64-bit hashes of words, the same on every machine and in every process."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_FIRST_IDEOGRAPH = "\u2e80"


def words(text: str) -> list[str]:
    """Split a text into folded words; a run without spaces (Chinese, Japanese) gives its character pairs.

    >>> words("Pasta, 10-minute PASTA")
    ['pasta', '10', 'minute', 'pasta']
    >>> words("短视频")
    ['短视', '视频']
    """
    found: list[str] = []
    for run in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if len(run) > 2 and run[0] >= _FIRST_IDEOGRAPH:
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            found.append(run)
    return found


@lru_cache(maxsize=65_536)
def token_hash(field: str, token: str) -> int:
    """Hash a token of a field to 64 bits; the same word in two fields gives two hashes."""
    return int.from_bytes(blake2b(f"{field}\0{token}".encode(), digest_size=8).digest(), "big")


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit values (the finaliser of SplitMix64), a bijection.

    Reference: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def signs(hashes: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Turn the bits of n hashes into +1 and -1, shape (n, 64) int8, the lowest bit first."""
    as_bytes = np.ascontiguousarray(hashes, dtype="<u8").view(np.uint8).reshape(len(hashes), 8)
    bits = np.unpackbits(as_bytes, axis=1, bitorder="little").view(np.int8)
    return bits * np.int8(2) - np.int8(1)


def weighted_sign_sums(hashes: NDArray[np.uint64], weights: NDArray[np.int64], counts: Sequence[int]) -> NDArray[np.int64]:
    """Sum the weighted signs of each item's tokens.

    Integers, so that the sum of an item does not depend on its neighbours nor on the order of its tokens.

    Parameters
    ----------
    hashes
        Token hashes, item after item, shape (n_tokens,).
    weights
        Weight of each token, shape (n_tokens,).
    counts
        Tokens of each item, shape (n_items,); 0 gives a row of zeros.

    Returns
    -------
    Shape (n_items, 64) int64.
    """
    sums = np.zeros((len(counts), 64), dtype=np.int64)
    ends = np.cumsum(np.asarray(counts, dtype=np.int64))
    starts = ends - counts
    filled = np.flatnonzero(ends > starts)
    if len(filled):
        sums[filled] = np.add.reduceat(signs(hashes) * weights[:, None], starts[filled], axis=0)
    return sums
