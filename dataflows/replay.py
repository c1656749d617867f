"""recorded feed.served → the answer made again, by the same operators, from recorded side topics → compared, byte for byte.

Apart from Kafka and Redis: a folder made by `penstock record` goes in, a count of differences comes out.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from dataflows.envelope import Envelope
from dataflows.feed import side_tables
from dataflows.replay_report import Replayed, progress, show, summary
from dataflows.request import Asked, read_request
from dataflows.secrets_file import TOKEN_KEY_FILE, token_secret
from operators.replay.again import Asking, Refused
from operators.replay.manifest import REQUESTS, RecordingError
from operators.replay.run import OnProgress, Replay
from schemas.feed import ServedRecord
from schemas.settings import Settings


def asked(record: ServedRecord, *, future_skew_ms: int) -> Asking:
    """Read a recorded request as the feed reads it off its topic; its stamp is the "now" of the answer.

    Raises
    ------
    Refused
        If the feed would not take it.
    """
    envelope = Envelope(
        topic=REQUESTS,
        partition=0,
        offset=0,
        key=record.user_id.encode(),
        value=record.request,
        stamp_ms=record.now_ms,
        fields={},
    )
    read = read_request(envelope, future_skew_ms=future_skew_ms)
    if isinstance(read, Asked):
        return Asking(read.request, read.request.request_id or record.request_id, read.now_ms)
    raise Refused(expected=read.letter.expected, got=read.letter.got, where=read.letter.path)


def replay(
    folder: Path,
    settings: Settings,
    *,
    limit: int | None = None,
    worker: str | None = None,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Replayed:
    """Replay a folder with the token key of this checkout; no key is made where there is none.

    Raises
    ------
    RecordingError
        If the folder is no recording, or its files are not those that were written.
    """
    has_key = settings.token_secret is not None or (settings.home / TOKEN_KEY_FILE).exists()
    found = Replay(
        folder=folder,
        secret=token_secret(settings) if has_key else None,
        ask=lambda record: asked(record, future_skew_ms=settings.future_skew_ms),
        make_tables=side_tables,
        on_progress=on_progress,
    )
    with closing(found):
        gc.collect()
        gc.freeze()
        started, worked = time.perf_counter(), time.process_time()
        report = found.run(limit=limit, worker=worker)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        return Replayed(report=report, manifest=found.manifest, seconds=seconds, cpu_seconds=cpu_seconds)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program.

    Raises
    ------
    SystemExit
        0 if there was something to replay and all of it came out the same; 1 otherwise; 2 if the folder cannot be replayed.
    """
    parser = argparse.ArgumentParser(prog="python -m dataflows.replay", description="Make every recorded answer again and compare.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--worker")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args(argv)
    errors = Console(stderr=True, highlight=False)
    try:
        with progress(errors) as on_progress:
            replayed = replay(words.folder, Settings(), limit=words.limit, worker=words.worker, on_progress=on_progress)
    except RecordingError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(2) from None
    if words.json:
        sys.stdout.buffer.write(msgspec.json.encode(summary(replayed)) + b"\n")
    else:
        show(Console(highlight=False), replayed)
    raise SystemExit(0 if replayed.report.same else 1)


if __name__ == "__main__":
    main()
