"""What may not be shown here, in this language, or at this age."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows


class NotEligible:
    """Drops videos for another region or language where both sides are known, and videos above the assumed age.

    Parameters
    ----------
    assumed_age
        Age in years taken for people whose age is not told, which is everybody as long as no message carries it. 21 shows everything.
    """

    reason = "not_eligible"

    def __init__(self, *, assumed_age: int = 17) -> None:
        self.assumed_age = assumed_age

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are not eligible, shape (n,)."""
        items = query.tables.items
        removed: NDArray[np.bool_] = items.age_rating.values[rows] > self.assumed_age
        if query.region is not None:
            regions = items.region.values[rows]
            removed |= (regions >= 0) & (regions != items.regions.find(query.region))
        if query.language is not None:
            languages = items.language.values[rows]
            removed |= (languages >= 0) & (languages != items.languages.find(query.language))
        return removed
