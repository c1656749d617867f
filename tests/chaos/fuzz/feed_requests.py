"""Requests as clients of every kind send them: bodies, and headers of correlation, reply, deadline and attempt."""

from __future__ import annotations

import struct
from functools import partial
from random import Random
from typing import NamedTuple

from schemas import headers
from tests.chaos.fuzz.pieces import NO_OBJECTS, Clock, Fields, Way, garble, number, spoil, text, written

Headers = list[tuple[str, str | bytes | None]]
ALIASES = {"correlation": "kafka_correlationId", "topic": "kafka_replyTopic", "partition": "kafka_replyPartition"}


class Asked(NamedTuple):
    """A record of `feed.requests`."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class FeedRequests:
    """Makes records of `feed.requests`.

    Parameters
    ----------
    rng
        Draws everything.
    clock
        The present.
    n_users
        Users are u0 …
    """

    def __init__(self, rng: Random, clock: Clock, *, n_users: int) -> None:
        self.rng = rng
        self.clock = clock
        self.n_users = n_users
        self._number = 0

    def __call__(self) -> Asked:
        """Return the next request: two thirds of them right."""
        rng = self.rng
        self._number += 1
        user = b"u%d" % rng.randrange(self.n_users)
        fields: Fields = {
            b"user_id": b'"%b"' % user,
            b"request_id": b'"r%d"' % self._number,
            b"limit": b"%d" % rng.choice((1, 5, 10, 20, 100)),
        }
        if rng.random() < 0.3:
            fields |= {b"context": b'{"region":"de","language":"en-US","surface":"s1"}', b"shadow": b"true"}
        odd = rng.random() < 0.33
        if odd:
            spoil(fields, rng, self._ways(), (b"user_id", b"request_id", b"limit"))
        value: bytes | None = written(fields, rng, odd=odd and rng.random() < 0.4)
        if rng.random() < 0.03:
            value = garble(value or b"", rng)
        if rng.random() < 0.002:
            value = (value or b"{}")[:-1] + b',"padding":"' + b"x" * rng.choice((65_000, 70_000, 900_000)) + b'"}'
        key = rng.choice((None, b"", b"\xff", b"somebody-else")) if rng.random() < 0.03 else user
        return Asked(key, value, self._headers())

    def _ways(self) -> dict[bytes, Way]:
        return {
            b"user_id": partial(text, bound=128),
            b"request_id": partial(text, bound=128),
            b"device_id": partial(text, bound=128),
            b"limit": number,
            b"ts_ms": self.clock.time,
            b"cursor": partial(text, bound=128),
            b"context": lambda rng: rng.choice((*NO_OBJECTS, b'{"region":%b}' % text(rng, 256), b'{"language":%b}' % text(rng, 256))),
            b"shadow": lambda rng: rng.choice((b"true", b"false", b"null", b"1", b'"yes"')),
        }

    def _headers(self) -> Headers:
        rng = self.rng
        pairs: Headers = []
        identity = b"fuzz-%d" % self._number
        draw = rng.random()
        if draw < 0.5:
            pairs.append((headers.CORRELATION_ID, identity))
        elif draw < 0.7:
            pairs.append((ALIASES["correlation"], identity + rng.choice((b"", b"\0\n\xff", b"\xed\xa0\xbd"))))
        elif draw < 0.8:
            pairs += [(headers.CORRELATION_ID, identity), (ALIASES["correlation"], b"theirs-" + identity)]
            rng.shuffle(pairs)
        elif draw < 0.85:
            pairs.append((headers.CORRELATION_ID, identity + b"x" * rng.choice((4_000, 5_000, 60_000))))
        pairs += self._reply() if rng.random() < 0.25 else []
        if rng.random() < 0.4:
            pairs.append((headers.DEADLINE_MS, self._deadline()))
        if rng.random() < 0.2:
            pairs.append((headers.ATTEMPT, rng.choice((b"1", b"2", b"0", b"-1", b"x", b"9" * 40, None))))
        if rng.random() < 0.01:
            pairs += [(f"noise-{number}", b"x") for number in range(rng.choice((10, 80)))]
        return pairs

    def _deadline(self) -> bytes | None:
        """Return a deadline that does not pass while the fuzz runs, one that has passed, or none at all."""
        rng, now_ms = self.rng, self.clock.now_ms
        draw = rng.random()
        if draw < 0.75:
            return b"%d" % (now_ms + 86_400_000)
        if draw < 0.8:
            return b"%d" % (now_ms - 600_000)
        return rng.choice((b"soon", b"", None, b"-1", b"1.5", b"9" * 30, b"\xff", b"%d" % (now_ms // 1_000)))

    def _reply(self) -> Headers:
        rng = self.rng
        named = rng.choice((headers.REPLY_PARTITION, ALIASES["partition"]))
        places = (b"0", b"3", b"7", b"8", b"99", b"-1", b"abc", b"", None, b"9" * 30, b"\xff")
        pairs: Headers = [(named, rng.choice((*places, struct.pack(">i", 5), struct.pack(">i", -1), struct.pack(">q", 5))))]
        if rng.random() < 0.3:
            topics = (
                b"feed.responses",
                b"feed.responses",
                b"somebody.elses",
                b"catalog.items",
                b"telemetry.raw",
                b"",
                b"\xff",
                b"a" * 300,
                b"..",
                None,
            )
            pairs.append((rng.choice((headers.REPLY_TOPIC, ALIASES["topic"])), rng.choice(topics)))
        return pairs
