"""Canonical languages and regions: people and systems spell them in many ways, and what is compared must be spelled in one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_SUBDIVISION = re.compile(r"([A-Za-z]{2})[-_][A-Za-z0-9]{1,3}")


@lru_cache(maxsize=4_096)
def language_of(text: str | None) -> str | None:
    """Return the primary subtag of a language tag, in lower case; None where nothing is said.

    >>> language_of("en-US"), language_of("EN"), language_of("pt_BR"), language_of(" "), language_of(None)
    ('en', 'en', 'pt', None, None)

    Reference: RFC 5646, section 2.2.1.
    """
    if text is None:
        return None
    return _folded(text.replace("_", "-").partition("-")[0].strip(), str.lower) or None


@lru_cache(maxsize=4_096)
def region_of(text: str | None) -> str | None:
    """Return a region in upper case, the country where it is a subdivision of one (ISO 3166-2); None where nothing is said.

    >>> region_of("us"), region_of("US-CA"), region_of("north-sea"), region_of(""), region_of(None)
    ('US', 'US', 'NORTH-SEA', None, None)
    """
    if text is None:
        return None
    text = text.strip()
    country = _SUBDIVISION.fullmatch(text)
    return _folded(country[1] if country else text, str.upper) or None


def _folded(text: str, fold: Callable[[str], str]) -> str:
    """Return a text in one case, as it is where that would make it longer ("ß"): what fits a bound fits it afterwards too."""
    folded = fold(text)
    return folded if len(folded) == len(text) else text
