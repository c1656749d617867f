"""The base of every message: frozen, keyword-only, named and versioned."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message on a topic.

    A new field has a default and a type never changes, so that the bytes of every released version still decode; unknown fields are
    ignored for the same reason.
    """

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
