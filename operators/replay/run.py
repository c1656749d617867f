"""A whole recording, replayed: every answer made again, in the order of each worker, counted and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from operators.feed import FeedEngine
from operators.replay.again import Again, Ask
from operators.replay.answers import Lineages, Responses, Served
from operators.replay.differences import Difference
from operators.replay.manifest import RESPONSES, SERVED, Manifest, fingerprint
from operators.replay.side import NotReproducible, RecordedSide
from operators.tables.side import SideTables
from operators.tokens import TokenError, verify
from schemas.codec import DecodeError

NO_LINEAGE = "an answer went out without a lineage record of its own"
UNREADABLE = "a lineage record or response fits no contract"

_NO_SECRET = bytes(32)

OnProgress = Callable[[str, int, int], None]
"""Told what is going on, how much of it is done, and how much there is."""


class Report(msgspec.Struct, kw_only=True):
    """What a replay found.

    Attributes
    ----------
    requests
        Answers in question: replayed or not.
    mismatches, first_mismatch, stages
        Those that came out otherwise, the first of them, and how many left the recorded path at which stage and field.
    not_reproducible, reasons
        Answers that cannot be made again from the recording, or not wholly, and why.
    by_digest
        Answers compared by the digest in their lineage only, because their response is not on `feed.responses`.
    refused
        Responses that carry an error: requests that the feed did not take. They have no lineage and are not replayed.
    workers
        Answers by process.
    """

    requests: int = 0
    mismatches: int = 0
    first_mismatch: Difference | None = None
    stages: dict[str, int] = {}
    not_reproducible: int = 0
    reasons: dict[str, int] = {}
    by_digest: int = 0
    refused: int = 0
    workers: dict[str, int] = {}

    @property
    def same(self) -> bool:
        """Whether there was something to replay, and all of it came out the same."""
        return self.requests > 0 and self.mismatches == 0 and self.not_reproducible == 0


class Replay:
    """Replays a recording, by itself: no broker, no store, no clock.

    Parameters
    ----------
    folder
        The recording.
    secret
        Key of the tracking tokens, 16 to 64 bytes; None where it is not known: then all but the tokens is compared.
    ask
        Reads a recorded request as the feed does.
    make_tables
        Makes the feed's side tables, empty.
    on_progress
        Told what is going on.

    Raises
    ------
    RecordingError
        If the folder is no recording, or its files are not those that were written.
    """

    def __init__(
        self,
        *,
        folder: Path,
        secret: bytes | None,
        ask: Ask,
        make_tables: Callable[[], SideTables],
        on_progress: OnProgress = lambda _what, _done, _total: None,
    ) -> None:
        self.folder = folder
        self.secret = secret
        self.ask = ask
        self.make_tables = make_tables
        self.on_progress = on_progress
        self.manifest = Manifest.load(folder)
        self._check_files()
        self._read = 0
        self.lineages = Lineages(folder, self.manifest, self._on_read, artifacts=make_tables().artifacts)
        self.responses = Responses(folder, self.manifest, self._on_read)
        self.same_secret = secret is not None and self._is_recorded(secret)
        self._reasons: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()

    def run(self, *, limit: int | None = None, worker: str | None = None) -> Report:
        """Replay every answer, or some of them.

        Parameters
        ----------
        limit
            At most so many answers.
        worker
            Only those of this process, or of all processes `worker@…`.
        """
        report = Report()
        chosen = {name: found for name, found in sorted(self.lineages.workers.items()) if worker in {None, name, name.partition("@")[0]}}
        total = sum(map(len, chosen.values()))
        left = total if limit is None else min(limit, total)
        for name, found in chosen.items():
            some = found[: max(left - report.requests, 0)]
            if some:
                report.workers[name] = len(some)
                self._worker(name, some, report, left)
        if limit is None and worker is None:
            self._whole(report)
        report.stages, report.reasons = dict(self._stages.most_common()), dict(self._reasons.most_common())
        report.not_reproducible = self._reasons.total()
        return report

    def close(self) -> None:
        """Close every file."""
        self.lineages.close()
        self.responses.close()

    def _worker(self, name: str, answers: list[Served], report: Report, total: int) -> None:
        tables = self.make_tables()
        side = RecordedSide(folder=self.folder, manifest=self.manifest, tables=tables)
        engine = FeedEngine(tables=tables, secret=self.secret or _NO_SECRET, seed=0, worker=name)
        again = Again(engine=engine, side=side, responses=self.responses, ask=self.ask, same_secret=self.same_secret)
        try:
            for served in answers:
                self._answer(again, served, report)
                self.on_progress("replaying", report.requests, total)
        finally:
            side.close()

    def _answer(self, again: Again, served: Served, report: Report) -> None:
        report.requests += 1
        try:
            record = self.lineages.load(served)
            report.by_digest += not self.responses.holds(served.asked)
            difference = again.difference(record)
        except DecodeError:
            self._reasons[UNREADABLE] += 1
        except NotReproducible as reason:
            self._reasons[str(reason)] += 1
        else:
            if difference is not None:
                report.mismatches += 1
                report.first_mismatch = report.first_mismatch or difference
                self._stages[f"{difference.stage}: {difference.field.partition('[')[0]}"] += 1

    def _whole(self, report: Report) -> None:
        """Count what is in the recording and has no lineage that could be replayed."""
        report.refused = self.responses.refused
        lost = self.responses.unexplained(Counter(served.asked for found in self.lineages.workers.values() for served in found))
        unreadable = self.lineages.unreadable + self.responses.unreadable
        self._reasons.update({reason: n for reason, n in ((NO_LINEAGE, lost), (UNREADABLE, unreadable)) if n})
        report.requests += lost + unreadable

    def _is_recorded(self, secret: bytes) -> bool:
        if self.manifest.secret is not None or not self.responses.token:
            return self.manifest.secret in {None, fingerprint(secret)}
        try:
            verify(secret, self.responses.token)
        except TokenError:
            return False
        return True

    def _check_files(self) -> None:
        total = sum(part.bytes for part in self.manifest.parts)
        done = 0
        for part in self.manifest.parts:
            self.manifest.check(self.folder, part)
            done += part.bytes
            self.on_progress("checking", done, total)

    def _on_read(self, n: int) -> None:
        self._read += n
        total = sum(part.records for topic in (SERVED, RESPONSES) for part in self.manifest.of(topic))
        self.on_progress("reading", self._read, total)
