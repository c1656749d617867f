"""`penstock feed`: asks for somebody's feed and explains it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from schemas.feed import FeedRequest, FeedResponse, ServedRecord
from schemas.telemetry import Context
from serving.cli.instants import instant_ms
from serving.cli.output import JsonOption, console, print_json
from serving.client import FeedClient
from serving.connect import connected_settings
from serving.lineage import ServedTail

app = typer.Typer()


@app.command(epilog="Example: penstock feed 42 --limit 5 --region DE --why")
def feed(
    user: Annotated[str, typer.Argument(help="Whose feed.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many videos, 1 to 100.")] = 20,
    why: Annotated[bool, typer.Option("--why", help="Show where each video came from, and what was dropped and why.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Mark the videos as served, as a client's request does; default: only look.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="Region of the person, such as DE.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the person, such as de.")] = None,
    surface: Annotated[str | None, typer.Option(help="Surface (tab) on which the feed is shown.")] = None,
    device: Annotated[str | None, typer.Option(help="Kind of device, such as phone.")] = None,
    at: Annotated[
        str | None, typer.Option("--ts", help="The feed as of then: epoch milliseconds, an instant (2024-05-01T10:00Z) or an age (2h).")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of the request, and seed of its chance: the same one, the same feed.")
    ] = None,
    cursor: Annotated[str | None, typer.Option(help="The next_cursor of an answer (--json shows it): the page after that one.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Ask for a feed over the request topic and print the answer from the response topic.

    It only looks: nothing is marked as served, so asking changes no later feed. With --serve it is a client's request.
    """
    settings = connected_settings()
    context = Context(region=region, language=language, surface=surface, device=device)
    request = FeedRequest(
        user_id=user,
        request_id=request_id,
        limit=limit,
        ts_ms=None if at is None else int(at) if at.isdecimal() else instant_ms(at, "--ts"),
        cursor=cursor,
        context=None if context == Context() else context,
        shadow=not serve,
    )
    with (
        ServedTail(settings) if why else nullcontext() as tail,
        FeedClient(settings.kafka(), topic_prefix=settings.topic_prefix, timeout=timeout) as client,
    ):
        response = client.ask(request)
        served = None if tail is None else tail.wait_for(response.request_id, timeout=timeout)
    if as_json:
        print_json({"response": response, "lineage": served} if why else response)
        return
    _show(response)
    if served is not None:
        _explain(served)


def _show(response: FeedResponse) -> None:
    took = response.latency_ms.get("total")
    table = Table(
        title=f"feed of {escape(response.user_id)} · level {response.degradation_level.value}"
        + ("" if took is None else f" · {took:.1f} ms")
    )
    for column in ("#", "video", "title", "creator", "score", "why"):
        table.add_column(column, justify="right" if column in {"#", "score"} else "left", overflow="fold")
    for place, item in enumerate(response.items, 1):
        cells = (item.video_id, item.title, item.creator_id or "", f"{item.score:.3f}", item.recommendation_reason)
        table.add_row(str(place), *map(escape, cells))
    console.print(table)
    if not response.items:
        console.print("there is nothing to show: send videos (`penstock produce FILE --kind catalogue`), or run `penstock simulate`")
    if response.relaxed:
        console.print(f"rules that gave way: {', '.join(response.relaxed)}", markup=False)
    if response.exhausted:
        console.print("this person has seen everything there is; old videos come again")


def _explain(served: ServedRecord) -> None:
    sources, dropped = served.candidate_counts()
    table = Table(title=f"lineage · request {escape(served.request_id)} · worker {escape(served.worker)} · now {served.now_ms}")
    for column in ("what", "value"):
        table.add_column(column, overflow="fold")
    rows = {
        "candidates by source": ", ".join(f"{name} {n}" for name, n in sources.items()),
        "dropped by reason": ", ".join(f"{name} {n}" for name, n in dropped.items()) or "none",
        "explored places": ", ".join(str(i) for i, item in enumerate(served.items, 1) if item.explored) or "none",
        "models": ", ".join(f"{name} {version}" for name, version in served.model_versions.items()) or "none",
        "segment": served.segment_id or "none yet",
        "side topics, next offset": ", ".join(f"{name} {offset}" for name, offset in served.offsets.items()),
        "skipped": ", ".join(served.skipped) or "nothing",
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)
    heads = served.head_table()
    if served.heads and heads:
        console.print(_predicted(served, heads))


def _predicted(served: ServedRecord, predicted: list[dict[str, float]]) -> Table:
    table = Table(title="what the ranker predicts, probability by head")
    for column in ("#", "video", *served.heads):
        table.add_column(escape(column), justify="left" if column == "video" else "right", overflow="fold")
    for place, (item, heads) in enumerate(zip(served.items, predicted, strict=True), 1):
        table.add_row(str(place), escape(item.video_id), *(f"{value:.3f}" for value in heads.values()))
    return table
