"""catalog.items → content vectors, SimHash → catalog.vectors → index segment → catalog.segments; the vectors in Redis too.

Both outputs are the changelogs of faust tables: what a crashed process has written is what its successor starts from, and work that is
done again gives the same bytes. Offsets are committed after the output is acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from faust.types import EventT

from dataflows.catalog_segments import Segments, now_ms, readable
from dataflows.faust_app import Ends, crash_only, make_app, one_owner_table, run_app
from dataflows.kafka import outgoing_letter
from dataflows.part import Part, hosted
from dataflows.vector_view import VectorView
from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Refused, Upsert, VectorUpserts
from schemas.catalog import ItemVector
from schemas.codec import encode
from schemas.dlq import DeadLetter

BATCH = 500
WITHIN_S = 0.05
TICK_S = 0.5
STALLED_S = 60.0


class CatalogFlow:
    """The catalogue's app and what hangs on it.

    Parameters
    ----------
    part
        The process.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.app = make_app(part)
        self.ends = Ends(self.app, part)
        self.view = VectorView(part.settings, part.log)
        self.embed = VectorUpserts(vectors=ContentVectors(seed=part.settings.seed), simhash=SimHash())
        self.items = self._topic("catalog.items")
        self.letters = self._topic("telemetry.dlq")
        self.vectors = one_owner_table(self.app, "vectors", self._changelog("catalog.vectors"))
        announced = one_owner_table(self.app, "segments", self._changelog("catalog.segments"))
        self.segments = Segments(part, vectors=self.vectors, announced=announced, ends=self.ends, dim=self.embed.vectors.dim)
        self.reached: int | None = None
        self._moved_at = time.monotonic()
        self._refused = part.counter("catalog_refused", "Catalogue records that fit no contract.")
        self._cut = part.counter("catalog_cut", "Fields of catalogue records that were longer than their bound.", ["field"])
        self.app.agent(self.items, name="catalog_items")(self.on_items)
        self.app.timer(TICK_S)(self.on_time)
        self.app.task(self.view.run)
        self.vectors.on_recover(self.on_recover)

    def _topic(self, name: str, *, acks: bool = True) -> Any:
        return self.app.topic(
            self.part.topic(name),
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
            acks=acks,
        )

    def _changelog(self, name: str) -> Any:
        """Return the topic of a table; it is read at recovery only, and faust must not wait for an acknowledgement that never comes."""
        return self._topic(name, acks=False)

    async def on_recover(self) -> None:
        """Go on from what the topics hold: make the view good, and a segment if the newest one is behind."""
        rows = dict(readable(self.vectors.items()))
        if len(rows) < len(self.vectors):
            self.part.log.warning("rows that keep no contract are passed over", rows=len(self.vectors) - len(rows))
        self.view.put(rows)
        await self.segments.catch_up()
        self.part.log.info("tables recovered", videos=len(self.vectors))
        self.part.ready()

    async def on_items(self, stream: Any) -> None:
        """Turn catalogue records into vectors, some hundred at a time."""
        batches: AsyncIterator[list[EventT[Any]]] = stream.take_events(BATCH, within=WITHIN_S)
        async for events in batches:
            with crash_only(self.part):
                await self._take_in([Upsert(event.message.offset, event.message.key, event.message.value) for event in events])

    async def _take_in(self, upserts: list[Upsert]) -> None:
        good, bad, cut = self.embed(upserts)
        self.segments.changed(self._write(good))
        self.view.put({video_id: None if vector is None else vector.vector for video_id, vector in good.items()})
        for refused in bad:
            await self._set_aside(refused)
        for field, n in cut.items():
            self._cut.labels(field).inc(n)
        self.reached = upserts[-1].offset + 1
        self._moved_at = time.monotonic()
        self.part.progress(len(upserts))

    def _write(self, good: dict[str, ItemVector | None]) -> int:
        """Write what is not yet there; return how many that were."""
        changed = 0
        for video_id, vector in good.items():
            key = video_id.encode()
            value = None if vector is None else encode(vector)
            if value == self.vectors.get(key):
                continue
            if value is None:
                del self.vectors[key]
            else:
                self.vectors[key] = value
            changed += 1
        return changed

    async def _set_aside(self, refused: Refused) -> None:
        upsert, error = refused
        letter = DeadLetter(
            reason=error.reason,
            expected=error.expected,
            got=error.got,
            path=error.path,
            topic=self.items.get_topic_name(),
            partition=0,
            offset=upsert.offset,
            at_ms=now_ms(),
            key=upsert.key,
            raw=upsert.value or b"",
        )
        self._refused.inc()
        self.part.log.warning("catalogue record set aside", letter=letter.letter_id, got=error.got, path=error.path)
        out = self.part.sizes.fit(outgoing_letter(self.letters.get_topic_name(), letter))
        await self.letters.send(key=out.key, value=out.value, headers=out.headers)

    async def on_time(self) -> None:
        """Show the lag, end a process that stands still, build a segment when one is due."""
        if self.reached is None:
            self.reached = await self.ends.committed(self.items)
        end = await self.ends(self.items)
        if end is None or self.reached is None:
            return
        lag = max(0, end - self.reached)
        self.part.lag(lag)
        with crash_only(self.part):
            if lag and time.monotonic() - self._moved_at > STALLED_S:
                text = f"expected progress within {STALLED_S:.0f} s, got none at offset {self.reached} with {lag} records waiting"
                raise RuntimeError(text)
            await self.segments.on_time()


def main() -> None:
    """Run the part."""
    with hosted("catalog") as part:
        flow = CatalogFlow(part)
        if part.wait_for_topics():
            run_app(flow.app, part, last=flow.view.close)


if __name__ == "__main__":
    main()
