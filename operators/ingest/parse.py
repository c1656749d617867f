"""Raw records to candidates and dead letters: one bad event is set aside alone, with the reason."""

from __future__ import annotations

import re

import msgspec

from operators.ingest.arrivals import Candidate, Parsed, RawRecord
from operators.ingest.pieces import take_apart
from operators.ingest.scrub import Scrubber
from schemas.codec import DecodeError, decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import MAX_BATCH_BYTES, Context, Id, InteractionType, RawEvent, TelemetryBatch
from schemas.validity import EARLIEST_MS, dated, plausible

MAX_VALUE = 1e12
"""Thirty thousand years in seconds; what is beyond is no value, and whoever multiplies it may get infinity."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class _AnyContext(Context, frozen=True, kw_only=True):
    """A context whose texts may be too long: the scrubber leaves those out, and the event goes on."""

    surface: str | None = None
    session_id: str | None = None
    device: str | None = None
    region: str | None = None
    language: str | None = None


class _AnyEvent(RawEvent, frozen=True, kw_only=True):
    context: _AnyContext | None = None


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all events of a batch."""

    user_id: Id
    device_id: Id | None = None
    context: _AnyContext | None = None


class Parser:
    """Validates records and scrubs what is in them.

    A record that fits its contract takes the quick way, in one decode. One that does not is taken apart, so that each bad event is set
    aside alone and the others go on. What the context of an event leaves open, the context of its batch fills in.

    Parameters
    ----------
    scrubber : Scrubber
        Takes personal data out.
    future_skew_ms : int
        An event may be dated so far past the broker's stamp of its record, for clients' clocks differ.
    earliest_ms : int
        Epoch milliseconds; no event is older, and what says so was written in another unit.
    max_bytes : int
        Largest record.

    Examples
    --------
    >>> parser = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=300_000)
    >>> value = b'{"user_id":"u","events":[{"event_id":"e","video_id":"v","interaction_type":"stare","timestamp":1}]}'
    >>> [(letter.reason.value, letter.path) for letter in parser.parse(RawRecord("telemetry.raw", 0, 0, 1, b"u", value)).letters]
    [('wrong_type', '$.events[0].interaction_type')]
    """

    def __init__(
        self, *, scrubber: Scrubber, future_skew_ms: int, earliest_ms: int = EARLIEST_MS, max_bytes: int = MAX_BATCH_BYTES
    ) -> None:
        self.scrubber = scrubber
        self.future_skew_ms = future_skew_ms
        self.earliest_ms = earliest_ms
        self.max_bytes = max_bytes

    def parse(self, record: RawRecord) -> Parsed:
        """Return what is in a record; raises nothing, whatever its bytes are."""
        value = record.value
        if value is None:
            return Parsed([], [record.letter(ReasonCode.MALFORMED, expected="a batch of telemetry", got="no value", path="$")])
        if len(value) > self.max_bytes:
            size = f"at most {self.max_bytes} bytes"
            return Parsed([], [record.letter(ReasonCode.OVERSIZED, expected=size, got=f"{len(value)} bytes", path="$")])
        try:
            batch = decode(TelemetryBatch, value)
        except DecodeError as error:
            return self._piece_by_piece(record, value, error)
        events: list[RawEvent | bytes] = [*batch.events]
        return self._parsed(record, batch, events)

    def _piece_by_piece(self, record: RawRecord, value: bytes, error: DecodeError) -> Parsed:
        pieces = take_apart(value)
        if pieces is None or not pieces.events:
            return Parsed([], [_letter(record, error)])
        known = [b'"%b":%b' % (name.encode(), pieces.fields[name]) for name in _Envelope.__struct_fields__ if name in pieces.fields]
        try:
            envelope = decode(_Envelope, b"{" + b",".join(known) + b"}")
        except DecodeError as wrong:
            return Parsed([], [_letter(record, wrong)])
        return self._parsed(record, envelope, list(pieces.events))

    def _parsed(self, record: RawRecord, envelope: TelemetryBatch | _Envelope, events: list[RawEvent | bytes]) -> Parsed:
        """Return the events of a batch, each of them decoded already or not."""
        candidates: list[Candidate] = []
        letters: list[DeadLetter] = []
        device_id = self.scrubber.device(envelope.device_id)
        shared, cut = self.scrubber.context(envelope.context)
        latest_ms = record.received_ms + self.future_skew_ms
        for index, one in enumerate(events):
            try:
                event = decode(_AnyEvent, one) if isinstance(one, bytes) else one
                value = event_value(event, earliest_ms=self.earliest_ms, latest_ms=latest_ms)
            except DecodeError as wrong:
                event_id = _id_of(one) if isinstance(one, bytes) else one.event_id
                letters.append(_letter(record, wrong, index=index, event_id=event_id))
                continue
            if event.context is not None or shared is not None:
                context, left_out = self.scrubber.context(event.context)
                cut += left_out
                event = msgspec.structs.replace(event, context=_filled(context, shared))
            candidates.append(Candidate(record, index, envelope.user_id, device_id, event, value))
        return Parsed(candidates, record.bounded(letters) if letters else letters, cut)


def event_value(event: RawEvent, *, earliest_ms: int, latest_ms: int) -> float | None:
    """Return the value of an event that fits its contract, if ingest takes the event.

    Parameters
    ----------
    earliest_ms, latest_ms
        Epoch milliseconds, both included, between which the event may be dated.

    Raises
    ------
    DecodeError
        If it becomes a dead letter: a value that is no plain decimal number, a `watch_time` that says nothing, a time that cannot be.

    Examples
    --------
    >>> event = RawEvent(event_id="e", video_id="v", interaction_type=InteractionType.WATCH_TIME, timestamp=1_700_000_000_000, value="12.4")
    >>> event_value(event, earliest_ms=EARLIEST_MS, latest_ms=1_700_000_000_000)
    12.4
    """
    value = _number(event)
    if not earliest_ms <= event.timestamp <= latest_ms:
        plausible(event.timestamp, path="$.timestamp", earliest_ms=earliest_ms)
        expected = f"epoch milliseconds of at most {dated(latest_ms)}"
        raise DecodeError(ReasonCode.FUTURE_DATED, expected=expected, got=dated(event.timestamp), path="$.timestamp")
    return value


def _number(event: RawEvent) -> float | None:
    value = event.value
    if value is None:
        if event.interaction_type is InteractionType.WATCH_TIME and event.completed is None:
            expected = "a value in seconds, or completed, of a watch_time"
            raise DecodeError(ReasonCode.INVALID_VALUE, expected=expected, got="neither", path="$.value")
        return None
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        number = float(value) + 0.0  # what was -0.0 is 0.0 now
        if 0 <= number <= MAX_VALUE:
            return number
    expected = f"a plain decimal number of 0 to {MAX_VALUE:.0f}"
    raise DecodeError(ReasonCode.INVALID_VALUE, expected=expected, got=repr(value)[:80], path="$.value")


def _filled(own: Context | None, shared: Context | None) -> Context | None:
    """Return a context whose open fields are those of another one."""
    if own is None or shared is None:
        return own or shared
    return Context(
        surface=own.surface or shared.surface,
        session_id=own.session_id or shared.session_id,
        device=own.device or shared.device,
        region=own.region or shared.region,
        language=own.language or shared.language,
    )


def _letter(record: RawRecord, error: DecodeError, *, index: int = -1, event_id: str | None = None) -> DeadLetter:
    path = error.path if index < 0 else f"$.events[{index}]{error.path.removeprefix('$')}"
    return record.letter(error.reason, expected=error.expected, got=error.got, path=path, index=index, event_id=event_id)


class _Named(msgspec.Struct):
    event_id: object = None


def _id_of(raw: bytes) -> str | None:
    try:
        event_id = decode(_Named, raw).event_id
    except DecodeError:
        return None
    return event_id[:128] if isinstance(event_id, str) else None
