"""`penstock load`: stream a public log over the topics; `penstock score`: score the answers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from serving.answers import AnswerFile
from serving.cli.output import JsonOption, console, errors, print_json, usage
from serving.client import FeedClient
from serving.connect import connected_settings
from serving.kuairand import ranked_rows, read_folder, schedule
from serving.loading import LoadResult, LogStream, cut, publish_before_the_stream
from serving.local.home import Home
from serving.percentile import percentile
from serving.producer import TelemetryProducer
from serving.settled import wait_until_settled

app = typer.Typer()
_KINDS = ("kuairand",)


@app.command(epilog="Example: penstock load kuairand ../shared/datasets/kuairand-pure --speed 600 --ask --answers answers.jsonl")
def load(
    *,
    kind: Annotated[str, typer.Argument(help="What log it is: kuairand.")],
    folder: Annotated[Path, typer.Argument(help="Its folder.", exists=True, file_okay=False)],
    speed: Annotated[float, typer.Option(min=0.001, help="Seconds of the log per second.")] = 600.0,
    max_rows: Annotated[int | None, typer.Option("--max", min=1, help="Stop after so many impressions.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask for a feed before each impression.")] = False,
    ranked_only: Annotated[bool, typer.Option("--ranked-only", help="Ask only before the rows that `penstock score` looks at.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Videos per answer.")] = 100,
    answers: Annotated[Path | None, typer.Option(help="Write every answer here as a JSON line.")] = None,
    freeze_after: Annotated[int | None, typer.Option(help="Publish no event after this day of the log (20220426); ask on.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests unanswered at most; the log's clock stands still beyond.")] = 32,
    settle: Annotated[float, typer.Option(help="Seconds to wait at most until the catalogue and the histories are worked in.")] = 120.0,
    as_json: JsonOption = False,
) -> None:
    """Turn a public log into catalogue, history and telemetry messages, outcomes published when they became known."""
    if kind not in _KINDS:
        usage(expected=" or ".join(_KINDS), got=kind, where="the kind of log", do="see `penstock load --help`")
    if answers is not None and not ask:
        usage(expected="--ask beside --answers", got="--answers alone", where="the command line", do="add --ask")
    settings = connected_settings()
    log = read_folder(folder)
    log.check_times(folder)
    plan = cut(
        schedule(log, requests=ask, limit=limit),
        rows=max_rows,
        freeze_after=freeze_after,
        ask_rows=ranked_rows(log) if ranked_only else None,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        before = bar.add_task("catalogue and histories", total=len(log.catalogue.video_id) + len(log.histories.user_id))
        published = publish_before_the_stream(settings, log, lambda n: bar.update(before, completed=n))
        bar.update(before, description="catalogue and histories being worked in")
        if not wait_until_settled(Home.default(), timeout=settle):
            errors.print("the parts still work on the catalogue and the histories; going on")
        bar.remove_task(before)
        stream = bar.add_task("streaming", total=len(plan))

        def show(result: LoadResult, done: int) -> None:
            bar.update(stream, completed=done, description=f"{result.events} events, {result.answered} feeds")

        timeout = 10.0
        producer = TelemetryProducer(settings.kafka(), topic_prefix=settings.topic_prefix, linger=0.01)
        client = FeedClient(settings.kafka(), topic_prefix=settings.topic_prefix, timeout=timeout, hedge_after=0.5, max_in_flight=in_flight)
        with producer, client, nullcontext() if answers is None else AnswerFile(settings, answers) as file:
            result = LogStream(client, producer, answers=file, speed=speed).run(plan, on_progress=show)
    if file is not None and file.without_lineage:
        errors.print(f"{file.without_lineage} answers were written without the ranker's order: no lineage of them came")
    result.published.update(published)
    _report(result, as_json=as_json)
    if result.unanswered:
        raise typer.Exit(1)


def _report(result: LoadResult, *, as_json: bool) -> None:
    summary = {
        "events": result.events,
        "published": dict(result.published),
        "requests": result.requests,
        "answered": result.answered,
        "unanswered": result.unanswered,
        "levels": dict(result.levels),
        "feed_p50_ms": percentile(result.latencies_ms, 0.5),
        "feed_p99_ms": percentile(result.latencies_ms, 0.99),
        "seconds": round(result.seconds, 1),
        "errors": dict(result.errors),
    }
    if as_json:
        print_json(summary)
        return
    for name, value in summary.items():
        console.print(f"{name:>12}  {value}", markup=False)


@app.command(epilog="Example: penstock score answers.jsonl --folder ../shared/datasets/kuairand-pure")
def score(
    file: Annotated[Path, typer.Argument(help="What `penstock load --answers` wrote.", exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Option(help="Folder of the log that was streamed.", exists=True, file_okay=False)] = Path(
        "../shared/datasets/kuairand-pure"
    ),
    as_json: JsonOption = False,
) -> None:
    """Print R@10 and R@100 of answers, as shown and as ranked, with 95 % intervals (bootstrap by user)."""
    from serving.score import as_text
    from serving.score import score as run

    result = run(file, folder)
    if as_json:
        print_json(result)
    else:
        console.print(as_text(result), markup=False)
