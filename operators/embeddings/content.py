"""A content vector for every video from the moment it is in the catalogue, without any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from operators.embeddings.tokens import mix, token_hash, weighted_sign_sums, words
from schemas.catalog import CatalogItem

_SCALE = 1 << 20
_CHUNK = 1_024


class ContentVectors:
    """Feature hashing followed by a seeded random projection.

    Each token t of field f (title word, tag, creator, ...) falls into one of `buckets` signed buckets; bucket b is projected on a row
    P[b] of +1 and -1 taken from the bits of a hash of (seed, b), so no matrix is kept. The vector is

        x = Σ_f w_f / sqrt(n_f) · Σ_t sign(t) · P[bucket(t)],    v = rint(127 · x / |x|)

    Two videos that share fields get an inner product near 127² · Σ shared w_f² / Σ w_f². A video with no token at all is hashed by its
    id: a direction of its own, near to nothing.

    Parameters
    ----------
    dim
        Dimensions of the vector, a multiple of 64. More gives less noise (standard deviation of a cosine about 1/sqrt(dim)).
    buckets
        Buckets of the hashed space, a power of two. Fewer makes more tokens collide.
    seed
        Seed of the projection; vectors of two seeds cannot be compared.
    title, description, tags, category, creator, audio
        Weights of the fields, >= 0; 0 leaves the field out.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> pasta = CatalogItem(video_id="1", title="quick pasta", tags=("cooking",), creator_id="ada")
    >>> pizza = CatalogItem(video_id="2", title="quick pizza", tags=("cooking",), creator_id="bob")
    >>> chess = CatalogItem(video_id="3", title="opening traps", tags=("chess",), creator_id="cyd")
    >>> v = ContentVectors()([pasta, pizza, chess]).astype(int)
    >>> v.shape, bool(v[0] @ v[1] > v[0] @ v[2])
    ((3, 64), True)

    References
    ----------
    Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009. Achlioptas, "Database-friendly random
    projections", PODS 2001.
    """

    def __init__(
        self,
        *,
        dim: int = 64,
        buckets: int = 1 << 20,
        seed: int = 0,
        title: float = 1.0,
        description: float = 0.5,
        tags: float = 1.0,
        category: float = 0.7,
        creator: float = 0.6,
        audio: float = 0.3,
    ) -> None:
        if dim <= 0 or dim % 64:
            msg = f"expected dim to be a multiple of 64, got {dim}; choose 64 or 128"
            raise ValueError(msg)
        if buckets <= 0 or buckets & (buckets - 1):
            msg = f"expected buckets to be a power of two, got {buckets}; choose 2**20"
            raise ValueError(msg)
        self.dim = dim
        self.buckets = buckets
        self.seed = seed
        self.weights = {
            "title": title,
            "description": description,
            "tags": tags,
            "category": category,
            "creator": creator,
            "audio": audio,
        }
        for field, weight in self.weights.items():
            if not weight >= 0:
                msg = f"expected a weight >= 0, got {weight}, at {field}"
                raise ValueError(msg)

    def __call__(self, items: Sequence[CatalogItem]) -> NDArray[np.int8]:
        """Return the vectors of some videos, shape (n_items, dim) int8; a video's vector does not depend on its neighbours."""
        vectors = np.empty((len(items), self.dim), dtype=np.int8)
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            vectors[start : start + len(chunk)] = self._embed(chunk)
        return vectors

    def _embed(self, items: Sequence[CatalogItem]) -> NDArray[np.int8]:
        hashes: list[int] = []
        weights: list[int] = []
        counts: list[int] = []
        for item in items:
            before = len(hashes)
            for field, tokens in self._fields(item):
                weight = round(_SCALE * self.weights[field] / sqrt(len(tokens)))
                hashes.extend(token_hash(field, token) for token in tokens)
                weights.extend([weight] * len(tokens))
            if len(hashes) == before:
                hashes.append(token_hash("video", item.video_id))
                weights.append(_SCALE)
            counts.append(len(hashes) - before)
        token_hashes = np.array(hashes, dtype=np.uint64)
        buckets = token_hashes & np.uint64(self.buckets - 1)
        signed = np.where(token_hashes >> np.uint64(63), 1, -1) * np.array(weights, dtype=np.int64)
        words_per_row = self.dim // 64
        rows = [mix(mix(buckets + np.uint64(self.seed << 32)) + np.uint64(word)) for word in range(words_per_row)]
        sums = np.concatenate([weighted_sign_sums(row, signed, counts) for row in rows], axis=1).astype(np.float64)
        norms = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
        unit = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
        vectors: NDArray[np.int8] = np.rint(unit * 127).astype(np.int8)
        return vectors

    def _fields(self, item: CatalogItem) -> Iterator[tuple[str, list[str]]]:
        fields = {
            "title": words(item.title),
            "description": words(item.description),
            "tags": [tag.casefold() for tag in item.tags],
            "category": [item.category.casefold()] if item.category else [],
            "creator": [item.creator_id] if item.creator_id else [],
            "audio": [item.audio_id] if item.audio_id else [],
        }
        return ((field, tokens) for field, tokens in fields.items() if tokens and self.weights[field] > 0)
