"""telemetry.raw, catalog.items → validate, scrub → each event once, joined with the catalogue → telemetry.events, telemetry.dlq."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.outputs import Sink
from confluent_kafka import Message

from dataflows.bucketed import Pace, bucketed
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, outgoing_letter, send
from dataflows.part import Count, Part, run_part
from dataflows.secrets_file import token_secret
from operators.ingest.admit import Admission, Admitted, Arrival
from operators.ingest.arrivals import RawRecord, Upsert
from operators.ingest.parse import Parser
from operators.ingest.scrub import Scrubber
from schemas import headers
from schemas.codec import DecodeError, encode
from schemas.telemetry import Event
from schemas.validity import catalog_item, key_id


def build(
    source: Source[Batch], sink: Sink[Any], *, parser: Parser, admission: Admission, catalogue: str, events: str, letters: str, count: Count
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of raw records and catalogue records in, events and dead letters out.
    parser, admission
        Stateless and stateful half of the work; both new.
    catalogue, events, letters
        Names of the catalogue topic and of the two that are written.
    count
        Takes `records`, `events`, and the reason of each dead letter.
    """

    def arrivals_of(batch: Batch) -> list[Arrival]:
        count("records", len(batch))
        found: list[Arrival] = []
        for message in batch:
            if message.topic() == catalogue:
                found += _upserts(message)
            else:
                found.append(parser.parse(_record(message)))
        return found

    def outgoing(admitted: Admitted) -> Outgoing:
        if isinstance(admitted, Event):
            count("events", 1)
            return Outgoing(events, admitted.user_id.encode(), encode(admitted))
        count(admitted.reason.value, 1)
        return outgoing_letter(letters, admitted)

    flow = Dataflow("ingest")
    batches: Stream[Batch] = op.input("in", flow, source)
    arrivals: Stream[list[Arrival]] = op.map("parse", batches, arrivals_of)
    admitted: Stream[Admitted] = bucketed("admit", arrivals, admission, Pace(least=timedelta(seconds=1)))
    out: Stream[Outgoing] = op.map("encode", admitted, outgoing)
    send("out", out, sink)
    return flow


def _record(message: Message) -> RawRecord:
    found = dict(headers.pairs(message) or ())
    return RawRecord(
        str(message.topic()),
        int(message.partition() or 0),
        int(message.offset() or 0),
        message.timestamp()[1],
        _bytes(message.key()),
        _bytes(message.value()),
        headers.whole(found.get(headers.ATTEMPT), default=1),
    )


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


def _upserts(message: Message) -> list[Upsert]:
    """Return the change of the catalogue; none where it is no catalogue record, which the catalogue part sets aside."""
    value, key = message.value(), _bytes(message.key())
    try:
        if value is None:
            return [Upsert(key_id(key), None)]
        item = catalog_item(key, value).item
    except DecodeError:
        return []
    return [Upsert(item.video_id, item)]


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    raw, catalogue = part.topic("telemetry.raw"), part.topic("catalog.items")
    count = part.count_by(part.counter("ingested", "Events let through, and dead letters by reason.", ["what"]))
    connection = part.settings.kafka()
    source = KafkaSource(connection, [catalogue, raw], group=part.settings.topic_prefix + "penstock.ingest", shutdown=part.shutdown)
    part.watch_lag(source.lag)
    sink = KafkaSink(connection, sizes=part.sizes)
    parser = Parser(scrubber=Scrubber(key=token_secret(part.settings)), future_skew_ms=part.settings.future_skew_ms)
    return build(
        source,
        sink,
        parser=parser,
        admission=Admission(),
        catalogue=catalogue,
        events=part.topic("telemetry.events"),
        letters=part.topic("telemetry.dlq"),
        count=count,
    )


def main() -> None:
    """Run the part."""
    run_part("ingest", flow)


if __name__ == "__main__":
    main()
