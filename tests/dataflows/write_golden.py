"""Writes the recorded inputs and expected outputs that are not there yet; nothing is overwritten.

To change one deliberately, delete its file and run `python -m tests.dataflows.write_golden`.
"""

from __future__ import annotations

from tests.dataflows import (
    test_catalog_golden,
    test_features,
    test_feed_golden,
    test_ingest,
    test_labels_golden,
    test_learning_golden,
    test_side_golden,
)


def main() -> None:
    """Write what is missing."""
    for golden in (
        test_catalog_golden,
        test_features,
        test_feed_golden,
        test_ingest,
        test_labels_golden,
        test_learning_golden,
        test_side_golden,
    ):
        golden.write_missing()


if __name__ == "__main__":
    main()
