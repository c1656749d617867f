"""`penstock moderate` and `penstock objective`: what operators say to the feed, as messages on control topics."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from schemas.catalog import Moderation
from schemas.learning import HEADS, Objective
from serving.cli.output import JsonOption, console, print_json, usage
from serving.connect import current_settings
from serving.publisher import Publisher
from serving.reading import decoded
from serving.records import last_by_key

MODERATION = "control.moderation"
OBJECTIVE = "control.objective"

app = typer.Typer(add_completion=False)
objective = typer.Typer(add_completion=False, help="What the ranker maximises.", no_args_is_help=True)
app.add_typer(objective, name="objective")


@app.command(epilog="Example: penstock moderate creator 123 --block --reason spam")
def moderate(
    kind: Literal["video", "creator"],
    name: Annotated[str, typer.Argument(metavar="ID")],
    *,
    block: Annotated[bool, typer.Option("--block/--unblock", help="Take it out of every feed, or let it back.")],
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
) -> None:
    """Take a video or a creator out of every path of the feed, or let it back."""
    said = Moderation(kind=kind, id=name, blocked=block, reason=reason, at_ms=time.time_ns() // 1_000_000)
    settings = current_settings()
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish(MODERATION, f"{kind}:{name}", said)
    console.print(f"{kind} {name} is {'blocked' if block else 'let back'}")


@objective.command(epilog="Example: penstock objective show --json")
def show(as_json: JsonOption = False) -> None:
    """Show the objective in force: the one set last, else the built-in one."""
    from operators.ranking.features import INITIAL_OBJECTIVE

    found = last_by_key(current_settings(), OBJECTIVE).get(b"feed")
    current = INITIAL_OBJECTIVE if found is None else decoded(Objective, found)
    if as_json:
        print_json(current)
        return
    heads = ", ".join(f"{head} {weight:g}" for head, weight in current.heads.items())
    console.print(f"{current.version}: {heads}; exploration {current.exploration_rate:g}")


@objective.command("set", epilog="Example: penstock objective set --head long_view=1 --head like=0.5 --exploration 0.05")
def set_(
    head: Annotated[list[str], typer.Option(help="NAME=WEIGHT; once for each head.")],
    exploration: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of places given to exploration.")] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Set the objective; feed workers take it up within a second."""
    wanted = Objective(
        version=f"{datetime.now(UTC):%Y%m%dT%H%M%S}", heads=dict(_weight(text) for text in head), exploration_rate=exploration
    )
    settings = current_settings()
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish(OBJECTIVE, "feed", wanted)
    if as_json:
        print_json(wanted)
    else:
        console.print(f"objective {wanted.version} is set")


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not math.isfinite(weight):
        usage(expected="NAME=WEIGHT", got=text, where="--head", do="write for example --head like=0.5")
    if name not in HEADS:
        usage(expected=f"one of {', '.join(HEADS)}", got=name, where="--head", do="write for example --head like=0.5")
    return name, weight
