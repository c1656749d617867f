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
from operators.ingest.admit import Admission, Admitted, Arrival, Repeats
from operators.ingest.arrivals import RawRecord, Upsert
from operators.ingest.parse import Parser
from operators.ingest.scrub import Scrubber
from operators.ingest.signals import signals_of
from schemas import headers
from schemas.codec import DecodeError, encode
from schemas.dlq import ReasonCode
from schemas.telemetry import Event
from schemas.validity import catalog_item, key_id


def build(
    source: Source[Batch],
    sink: Sink[Any],
    *,
    parser: Parser,
    admission: Admission,
    catalogue: str,
    events: str,
    letters: str,
    count: Count,
    signal: Count,
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
        Takes `records`, `events`, the reason of each dead letter (of duplicates each one, letter or not), `cut` (fields of contexts that
        were changed or left out) and `refused_catalogue`.
    signal
        Takes what operators.ingest.signals counts.
    """

    def arrivals_of(batch: Batch) -> list[Arrival]:
        count("records", len(batch))
        found: list[Arrival] = []
        for message in batch:
            if message.topic() != catalogue:
                parsed = parser.parse(_record(message))
                if parsed.cut:
                    count("cut", parsed.cut)
                found.append(parsed)
            elif (upsert := _upsert(message)) is not None:
                found.append(upsert)
            else:
                count("refused_catalogue", 1)
        return found

    def outgoing(admitted: list[Admitted]) -> list[Outgoing]:
        out: list[Outgoing] = []
        let_through = [one for one in admitted if isinstance(one, Event)]
        for one in admitted:
            if isinstance(one, Event):
                out.append(Outgoing(events, one.user_id.encode(), encode(one)))
            elif isinstance(one, Repeats):
                count(ReasonCode.DUPLICATE.value, one.n)
            else:
                out.append(outgoing_letter(letters, one))
                if one.reason is not ReasonCode.DUPLICATE:
                    count(one.reason.value, 1)
        count("events", len(let_through))
        for name, n in signals_of(let_through).items():
            signal(name, n)
        return out

    flow = Dataflow("ingest")
    batches: Stream[Batch] = op.input("in", flow, source)
    arrivals: Stream[list[Arrival]] = op.map("parse", batches, arrivals_of)
    admitted: Stream[Admitted] = bucketed("admit", arrivals, admission, Pace(least=timedelta(seconds=1)))
    out: Stream[Outgoing] = op.flat_map_batch("encode", admitted, outgoing)
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


def _upsert(message: Message) -> Upsert | None:
    """Return the change of the catalogue; None where it is no catalogue record, which the catalogue part sets aside."""
    value, key = message.value(), _bytes(message.key())
    try:
        if value is None:
            return Upsert(key_id(key), None)
        item = catalog_item(key, value).item
    except DecodeError:
        return None
    return Upsert(item.video_id, item)


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    raw, catalogue = part.topic("telemetry.raw"), part.topic("catalog.items")
    settings = part.settings
    ingested = part.counter("ingested", "Events let through, dead letters by reason, repeats, and what was cut or refused.", ["what"])
    signals = part.counter("ingest_signals", "Of the events let through, those that say something.", ["signal"])
    connection = settings.kafka()
    source = KafkaSource(connection, [catalogue, raw], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)
    sink = KafkaSink(connection, sizes=part.sizes)
    scrubber = Scrubber(key=token_secret(settings))
    admission = Admission(capacity=settings.id_capacity, horizon=timedelta(seconds=settings.id_horizon_s))
    _watch(part, admission)
    return build(
        source,
        sink,
        parser=Parser(scrubber=scrubber, future_skew_ms=settings.future_skew_ms, earliest_ms=settings.earliest_ms),
        admission=admission,
        catalogue=catalogue,
        events=part.topic("telemetry.events"),
        letters=part.topic("telemetry.dlq"),
        count=part.count_by(ingested),
        signal=lambda name, n: signals.labels(name).inc(n),
    )


def _watch(part: Part, admission: Admission) -> None:
    """Show what is in the state of admission; asked for on another thread."""
    horizon = part.gauge("ingest_id_horizon_seconds", "How long an event id is remembered at the rate at which they come.")
    horizon.set_function(lambda: admission.ids.horizon_s)
    catalogue = part.gauge("ingest_catalogue", "Videos that events are joined with.", ["what"])
    catalogue.labels("videos").set_function(lambda: admission.videos.n)
    catalogue.labels("with_category").set_function(lambda: admission.videos.n_with_category)


def main() -> None:
    """Run the part."""
    run_part("ingest", flow)


if __name__ == "__main__":
    main()
