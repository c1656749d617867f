"""User states: who people are and what they did, folded into packed rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

import msgspec

from operators.base import BlockOperator, Example, State
from operators.forgetting import Forgetting, Idleness
from operators.profiles.folding import Folding
from operators.profiles.interest import INTEREST_HALF_LIFE, TAGS_KEPT
from operators.profiles.readable import readable
from operators.profiles.row import UserRow, new_row, pack_row, unpack_idle, unpack_row
from operators.profiles.seen import bits_of
from operators.profiles.told import ProfileTold
from operators.profiles.update import UserUpdate
from schemas.keys import SEEN_BEFORE_STREAM, seen_generation
from schemas.telemetry import Event, UserHistory

Happened = Event | UserHistory | ProfileTold

ROWS_A_BLOCK = 1_000

_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[bytes]).decode


class UserProfiles(BlockOperator[Happened, UserUpdate]):
    """Folds events, histories and profiles into one row a person; `on_time` returns the rows that changed since it was last called.

    Rows rest packed, as they stand in the store; those that changed since the last `on_time` are kept unpacked. Events of one person must
    come in their order; repeats must have been folded before (operators.ingest.repeats).

    Parameters
    ----------
    max_users
        People held; beyond it the longest idle are forgotten (operators.forgetting), those first who have a profile and did nothing.
    max_unpacked
        Rows kept unpacked, about 20 KB each.
    interest_half_life, max_tags, max_taken, max_listed
        As in operators.profiles.folding.Folding.

    Examples
    --------
    >>> profiles = UserProfiles()
    >>> _ = profiles.on_event(UserHistory(user_id="u", watched=["a", "b"], liked=["b"]))
    >>> update, = profiles.on_time(0)
    >>> update.user_id, update.version, update.readable["seen"]
    ('u', 1, '2')
    >>> profiles.on_time(0)
    []
    """

    def __init__(
        self,
        *,
        max_users: int = 1_000_000,
        max_unpacked: int = 4_096,
        interest_half_life: timedelta = INTEREST_HALF_LIFE,
        max_tags: int = TAGS_KEPT,
        max_taken: int = 50,
        max_listed: int = 200,
    ) -> None:
        self.max_users = max_users
        self.max_unpacked = max_unpacked
        self.interest_half_life = interest_half_life
        self.max_tags = max_tags
        self.max_taken = max_taken
        self.max_listed = max_listed
        self._folding = Folding(interest_half_life=interest_half_life, max_tags=max_tags, max_taken=max_taken, max_listed=max_listed)
        self._forgetting = Forgetting(most=max_users)
        self._packed: dict[str, bytes] = {}
        self._unpacked: dict[str, UserRow] = {}
        self._changed: dict[str, dict[int, bytes]] = {}
        self._left: list[UserUpdate] = []

    @property
    def forgotten(self) -> int:
        """Number of people forgotten so far."""
        return self._forgetting.count

    @property
    def pending(self) -> bool:
        """Whether rows changed since the last `on_time`."""
        return bool(self._changed or self._left)

    def on_batch(self, batch: Sequence[Happened]) -> list[UserUpdate]:
        """Fold events, histories and profiles; rows come out of `on_time`."""
        unpacked, changed, fold = self._unpacked, self._changed, self._folding.event
        for one in batch:
            user_id = one.user_id
            row = unpacked.get(user_id)
            if row is None:
                row = self._unpack(user_id)
            bits = changed.get(user_id)
            if bits is None:
                bits = changed[user_id] = {}
            if type(one) is Event:
                if fold(row, one):
                    generation = seen_generation(one.timestamp_ms)
                    bits[generation] = bits.get(generation, b"") + bits_of(one.video_id)
            elif type(one) is UserHistory:
                seen = b"".join(map(bits_of, self._folding.history(row, one)))
                bits[SEEN_BEFORE_STREAM] = bits.get(SEEN_BEFORE_STREAM, b"") + seen
            elif type(one) is ProfileTold:
                self._folding.told(row, one)
        return []

    def on_time(self, now_ms: int) -> list[UserUpdate]:
        """Return a full row of each person that changed since the last call, in the order in which they first did."""
        updates, self._left = self._left, []
        for user_id, bits in self._changed.items():
            updates.append(self._update(user_id, bits))
        # Only rows that changed are ever unpacked, and an update packs its row.
        self._changed.clear()
        return updates

    def head(self) -> State:
        """Return who changed since the last `on_time`, and what was forgotten."""
        return {
            "version": self.VERSION,
            "changed": {user_id: dict(bits) for user_id, bits in self._changed.items()},
            "left": [tuple(update) for update in self._left],
            "forgetting": self._forgetting.snapshot(),
        }

    def restore_head(self, state: State) -> None:
        """Take back what `head` returned."""
        self.check_version(state)
        self._changed = {user_id: dict(bits) for user_id, bits in state["changed"].items()}
        self._left = [UserUpdate(*update) for update in state["left"]]
        self._forgetting.restore(state["forgetting"])

    def row_blocks(self) -> Iterator[bytes]:
        """Yield the rows of ROWS_A_BLOCK people at a time."""
        for user_id, row in self._unpacked.items():
            self._packed[user_id] = pack_row(row)
        rows = iter(self._packed.values())
        while block := list(islice(rows, ROWS_A_BLOCK)):
            yield _encode(block)

    def restore_rows(self, block: bytes) -> None:
        """Take back a block of rows."""
        for row in _decode_rows(block):
            self._packed[unpack_idle(row).user_id] = row

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield people of a few streams, and more people than may be held."""
        from operators.profiles.example_people import user_examples

        yield from user_examples(cls)

    def _unpack(self, user_id: str) -> UserRow:
        if len(self._unpacked) >= self.max_unpacked:
            self._pack_all()
        data = self._packed.get(user_id)
        if data is None:
            if len(self._packed) >= self.max_users:
                self._forget()
            row = new_row(user_id, self._forgetting.floor)
            self._packed[user_id] = b""
        else:
            row = unpack_row(data)
        self._unpacked[user_id] = row
        return row

    def _pack_all(self) -> None:
        for user_id, row in self._unpacked.items():
            self._packed[user_id] = pack_row(row)
        self._unpacked.clear()

    def _update(self, user_id: str, bits: dict[int, bytes]) -> UserUpdate:
        row = self._unpacked.pop(user_id, None)
        if row is None:
            row = unpack_row(self._packed[user_id])
        else:
            self._packed[user_id] = pack_row(row)
        return UserUpdate(user_id, row.version, self._packed[user_id], bits, readable(row))

    def _forget(self) -> None:
        self._pack_all()
        for user_id in self._forgetting.choose(self._idleness(), held=len(self._packed)):
            bits = self._changed.pop(user_id, None)
            if bits is not None:
                self._left.append(self._update(user_id, bits))
            self._forgetting.floor = max(self._forgetting.floor, unpack_idle(self._packed.pop(user_id)).version)

    def _idleness(self) -> Iterable[Idleness]:
        return ((unpack_idle(row).updated_ms, user_id) for user_id, row in self._packed.items())
