"""`penstock simulate`: people with tastes ask for feeds, watch, like and skip."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.progress import Progress

from serving.cli.output import JsonOption, console, errors, print_json
from serving.client import FeedClient
from serving.connect import connected_settings
from serving.percentile import percentile
from serving.producer import TelemetryProducer
from serving.publisher import Publisher
from serving.simulator import SimulationResult, World
from serving.simulator import simulate as run

app = typer.Typer()


@app.command(epilog="Example: penstock simulate --people 200 --rate 20 --seconds 60 --seed 1")
def simulate(
    people: Annotated[int, typer.Option(min=1, help="Simulated people.")] = 200,
    videos: Annotated[int, typer.Option(min=1, help="Videos in their catalogue.")] = 1_000,
    rate: Annotated[float, typer.Option(min=0.1, help="Feed requests per second in all.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=1.0, help="How long.")] = 60.0,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Videos per page.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and videos.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a closed loop over the topics: the people only produce to and consume from them.

    The exit code is 1 when a request went unanswered; `errors` counts why, by kind.
    """
    settings = connected_settings()
    world = World(seed=seed, people=people, videos=videos)
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for item in world.catalogue(int(time.time() * 1000)):
            publisher.publish("catalog.items", item.video_id, item)
    producer = TelemetryProducer(settings.kafka(), topic_prefix=settings.topic_prefix, linger=0.0)
    with (
        producer,
        FeedClient(settings.kafka(), topic_prefix=settings.topic_prefix, timeout=5.0) as client,
        Progress(console=errors, transient=True) as bar,
    ):
        task = bar.add_task("simulating", total=seconds)
        result = run(
            world,
            client,
            producer,
            rate=rate,
            seconds=seconds,
            limit=limit,
            on_progress=lambda so_far: bar.update(
                task, completed=so_far.seconds, description=f"{so_far.answered} feeds, {so_far.events} events"
            ),
        )
    if as_json:
        print_json(_summary(result))
    else:
        for name, value in _summary(result).items():
            console.print(f"{name:>14}  {value}", markup=False)
    if result.unanswered:
        raise typer.Exit(1)


def _summary(result: SimulationResult) -> dict[str, object]:
    return {
        "requests": result.requests,
        "answered": result.answered,
        "unanswered": result.unanswered,
        "levels": dict(result.levels),
        "feed_p50_ms": percentile(result.latencies_ms, 0.5),
        "feed_p99_ms": percentile(result.latencies_ms, 0.99),
        "events": result.events,
        "likes": result.likes,
        "seconds": round(result.seconds, 1),
        "errors": dict(result.errors),
    }
