"""What to say of an objective before it is set."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.learning import HEADS


def doubts(heads: Mapping[str, float]) -> list[str]:
    """Return what is doubtful about the weights of an objective, a sentence each; none is fine.

    Examples
    --------
    >>> doubts({"taken": 1.0, "negative": -0.5})
    []
    >>> doubts({"negative": -1.0})
    ['expected a head with a weight above 0, got none: only what is disliked decides, and nothing before that was learned']
    >>> doubts({"like": 1.0, "likes": 1.0})
    ['expected one of taken, click, long_view, like, finish, share, follow, negative, got likes: it counts for nothing']
    """
    known = f"expected one of {', '.join(HEADS)}"
    said = [f"{known}, got {head}: it counts for nothing" for head in heads if head not in HEADS]
    if not any(weight > 0 for head, weight in heads.items() if head in HEADS):
        said.append("expected a head with a weight above 0, got none: only what is disliked decides, and nothing before that was learned")
    if heads.get("negative", 0.0) > 0:
        said.append("expected a weight below 0, got one above, at negative: what is disliked would come first")
    return said
