"""Raw records to candidates and dead letters: one bad event is set aside alone, with the reason."""

from __future__ import annotations

import msgspec

from operators.ingest.arrivals import Candidate, Parsed, RawRecord
from operators.ingest.scrub import Scrubber
from schemas.codec import DecodeError, decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import MAX_EVENTS, RawEvent, TelemetryBatch

MAX_VALUE = 1e12
"""Thirty thousand years in seconds; what is beyond is no value, and whoever multiplies it may get infinity."""


class _Envelope(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw(b"null")
    device_id: msgspec.Raw = msgspec.Raw(b"null")
    events: list[msgspec.Raw] = []


class Parser:
    """Validates records and scrubs what is in them.

    A record that fits its contract takes the quick way, in one decode. One that does not is taken apart, so that each bad event is set
    aside alone and the others go on.

    Parameters
    ----------
    scrubber : Scrubber
        Takes personal data out.
    future_skew_ms : int
        An event may be dated so far past the broker's stamp of its record, for clients' clocks differ.
    max_bytes : int
        Largest record.

    Examples
    --------
    >>> parser = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=300_000)
    >>> value = b'{"user_id":"u","events":[{"event_id":"e","video_id":"v","interaction_type":"stare","timestamp":1}]}'
    >>> [(letter.reason.value, letter.path) for letter in parser.parse(RawRecord("telemetry.raw", 0, 0, 1, b"u", value)).letters]
    [('wrong_type', '$.events[0].interaction_type')]
    """

    def __init__(self, *, scrubber: Scrubber, future_skew_ms: int, max_bytes: int = 262_144) -> None:
        self.scrubber = scrubber
        self.future_skew_ms = future_skew_ms
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
            return self._taken_apart(record, value, error)
        device_id = self.scrubber.device(batch.device_id)
        parsed = Parsed([], [])
        for index, event in enumerate(batch.events):
            self._take(parsed, record, index, batch.user_id, device_id, event)
        return Parsed(parsed.candidates, record.bounded(parsed.letters)) if parsed.letters else parsed

    def _take(self, parsed: Parsed, record: RawRecord, index: int, user_id: str, device_id: str | None, event: RawEvent) -> None:  # noqa: PLR0917
        """Add an event of the right shape to the candidates, or a letter where its values cannot be."""
        if event.timestamp > record.received_ms + self.future_skew_ms:
            parsed.letters.append(
                record.letter(
                    ReasonCode.FUTURE_DATED,
                    expected=f"a time of at most {record.received_ms + self.future_skew_ms}",
                    got=str(event.timestamp),
                    path=f"$.events[{index}].timestamp",
                    index=index,
                    event_id=event.event_id,
                )
            )
            return
        value = event.value
        if value is not None:
            number = _number(value)
            if number is None:
                parsed.letters.append(
                    record.letter(
                        ReasonCode.INVALID_VALUE,
                        expected="a finite number, not negative",
                        got=repr(value)[:80],
                        path=f"$.events[{index}].value",
                        index=index,
                        event_id=event.event_id,
                    )
                )
                return
            value = number
        if event.context is not None:
            event = msgspec.structs.replace(event, context=self.scrubber.context(event.context))
        parsed.candidates.append(Candidate(record, index, user_id, device_id, event, value))

    def _taken_apart(self, record: RawRecord, value: bytes, error: DecodeError) -> Parsed:
        try:
            envelope = decode(_Envelope, value)
            user_id = decode(TelemetryBatch, b'{"events":[' + _STANDS_IN + b'],"user_id":' + bytes(envelope.user_id) + b"}").user_id
            device_id = decode(TelemetryBatch, _with_device(bytes(envelope.device_id))).device_id
        except DecodeError as whole:
            found = error if error.reason is ReasonCode.MALFORMED else whole
            return Parsed([], [_letter(record, found)])
        if not 0 < len(envelope.events) <= MAX_EVENTS:
            return Parsed([], [_letter(record, error)])
        parsed = Parsed([], [])
        pseudonym = self.scrubber.device(device_id)
        for index, raw in enumerate(envelope.events):
            try:
                event = decode(RawEvent, bytes(raw))
            except DecodeError as wrong:
                parsed.letters.append(_letter(record, wrong, index=index, event_id=_id_of(bytes(raw))))
            else:
                self._take(parsed, record, index, user_id, pseudonym, event)
        return Parsed(parsed.candidates, record.bounded(parsed.letters))


_STANDS_IN = b'{"event_id":"e","video_id":"v","interaction_type":"like","timestamp":0}'


def _with_device(device_id: bytes) -> bytes:
    return b'{"user_id":"u","events":[' + _STANDS_IN + b'],"device_id":' + device_id + b"}"


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


def _number(value: float | str) -> float | None:
    """Return a value as a number, None where it cannot be one."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number <= MAX_VALUE else None
