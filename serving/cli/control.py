"""`penstock moderate` and `penstock objective`: what operators say to the feed, as messages on control topics."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from schemas.catalog import Moderation
from schemas.codec import DecodeError
from schemas.learning import HEADS, Objective
from schemas.settings import Settings
from schemas.validity import catalog_item
from serving.cli.output import JsonOption, console, errors, print_json, usage
from serving.connect import connected_settings
from serving.publisher import Publisher
from serving.topic_reader import decoded, decoded_all, last_by_key, read_topic

MODERATION = "control.moderation"
OBJECTIVE = "control.objective"
CATALOGUE = "catalog.items"

app = typer.Typer(add_completion=False)
objective = typer.Typer(add_completion=False, help="What the ranker maximises.", no_args_is_help=True)
moderate = typer.Typer(add_completion=False, help="Videos and creators taken out of every feed.", no_args_is_help=True)
app.add_typer(objective, name="objective")
app.add_typer(moderate, name="moderate")

_LOOK_FOR_S = 3.0

IdArgument = Annotated[str, typer.Argument(metavar="ID")]
BlockOption = Annotated[bool, typer.Option("--block/--unblock", help="Take it out of every feed, or let it back.")]
ReasonOption = Annotated[str, typer.Option(help="For the record.")]


@moderate.command(epilog="Example: penstock moderate video 9 --unblock")
def video(name: IdArgument, *, block: BlockOption, reason: ReasonOption = "") -> None:
    """Take a video out of every path of the feed, or let it back."""
    _say("video", name, block=block, reason=reason)


@moderate.command(epilog="Example: penstock moderate creator 123 --block --reason spam")
def creator(name: IdArgument, *, block: BlockOption, reason: ReasonOption = "") -> None:
    """Take all videos of a creator out of every path of the feed, or let them back."""
    _say("creator", name, block=block, reason=reason)


@moderate.command("list", epilog="Example: penstock moderate list --json")
def list_(as_json: JsonOption = False) -> None:
    """Show what is blocked, since when and why."""
    said = decoded_all(Moderation, last_by_key(connected_settings(), MODERATION).values())
    blocked = [one for one in said if one.blocked]
    if as_json:
        print_json(blocked)
        return
    for one in blocked:
        since = f"{datetime.fromtimestamp(one.at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
        console.print(f"{one.kind} {one.id}  since {since}  {one.reason}".rstrip(), markup=False, soft_wrap=True)
    console.print(f"{len(blocked)} blocked")


def _say(kind: Literal["video", "creator"], name: str, *, block: bool, reason: str) -> None:
    said = Moderation(kind=kind, id=name, blocked=block, reason=reason, at_ms=time.time_ns() // 1_000_000)
    settings = connected_settings()
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish(MODERATION, f"{kind}:{name}", said)
    console.print(f"{kind} {name} is {'blocked' if block else 'let back'}", markup=False)
    if block and _is_unknown(settings, kind, name):
        errors.print(f"the catalogue has no {kind} {name} now: the block holds for one that comes", markup=False)


def _is_unknown(settings: Settings, kind: str, name: str) -> bool:
    """Tell whether no record of the catalogue names a video or creator; False where it takes too long to know."""
    deadline = time.monotonic() + _LOOK_FOR_S
    for message in read_topic(settings, CATALOGUE):
        if time.monotonic() > deadline:
            return False
        key = message.key()
        try:
            item = catalog_item(key.encode() if isinstance(key, str) else key, message.value() or b"").item
        except DecodeError:
            continue
        if name == (item.video_id if kind == "video" else item.creator_id):
            return False
    return True


@objective.command(epilog="Example: penstock objective show --json")
def show(as_json: JsonOption = False) -> None:
    """Show the objective in force: the one set last, else the built-in one."""
    from operators.ranking.features import INITIAL_OBJECTIVE

    found = last_by_key(connected_settings(), OBJECTIVE).get(b"feed")
    current = INITIAL_OBJECTIVE if found is None else decoded(Objective, found)
    if as_json:
        print_json(current)
        return
    heads = ", ".join(f"{head} {weight:g}" for head, weight in current.heads.items())
    console.print(f"{current.version}: {heads}; exploration {current.exploration_rate:g}", markup=False)


@objective.command("set", epilog="Example: penstock objective set --head long_view=1 --head like=0.5 --exploration 0.05")
def set_(
    head: Annotated[list[str], typer.Option(help="NAME=WEIGHT; once for each head.")],
    exploration: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of places given to exploration.")] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Set the objective; feed workers take it up within a second.

    At least one head must count for something: with none above 0 the best score would be the one of a video that nobody wants.
    """
    heads = dict(_weight(text) for text in head)
    if max(heads.values()) <= 0:
        usage(expected="a head with a weight above 0", got=", ".join(head), where="--head", do="add for example --head long_view=1")
    wanted = Objective(version=f"{datetime.now(UTC):%Y%m%dT%H%M%S}", heads=heads, exploration_rate=exploration)
    settings = connected_settings()
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish(OBJECTIVE, "feed", wanted)
    if as_json:
        print_json(wanted)
    else:
        console.print(f"objective {wanted.version} is set", markup=False)


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
