"""`penstock dlq list|show|retry|purge`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from schemas.dlq import LetterMark, ReasonCode
from schemas.settings import Settings
from serving.cli.instants import instant_ms
from serving.cli.output import JsonOption, console, errors, print_json, usage
from serving.cli.topics import parsed, readable
from serving.connect import connected_settings
from serving.dlq import DeadLetters, Outcome, outcome_of, purge, resend, sendable
from serving.errors import ConfigError
from serving.letters import Chains, Letter, State, Wanted

app = typer.Typer(add_completion=False, help="Dead letters: records set aside, unchanged, with the reason.", no_args_is_help=True)

_COLOURS = {"open": "red", "retried": "yellow", "resolved": "green", "purged": "dim"}

IdArgument = Annotated[str | None, typer.Argument(metavar="ID")]
ReasonOption = Annotated[ReasonCode | None, typer.Option(help="Only letters with this reason.")]
TopicOption = Annotated[str | None, typer.Option(help="Only letters that came from this topic.")]
UserOption = Annotated[str | None, typer.Option(help="Only letters about this person.")]
SinceOption = Annotated[str | None, typer.Option(help="Only letters from then on: an instant (2024-05-01T10:00Z) or an age (2h).")]
UntilOption = Annotated[str | None, typer.Option(help="Only letters before then.")]
EveryOption = Annotated[bool, typer.Option("--all", help="Every letter that fits --reason, --topic, --user, --since and --until.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say which letters, and do nothing.")]
WhyOption = Annotated[str, typer.Option("--because", help="Why, for the record.")]


@app.command("list", epilog="Example: penstock dlq list --reason future_dated --state open --since 2h")
def list_(
    reason: ReasonOption = None,
    topic: TopicOption = None,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    state: Annotated[State | None, typer.Option(help="Only letters of which it stands so.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show dead letters, oldest first: what was wrong with each, and what became of it.

    open: never sent again. retried: sent again and not known to be taken in, or come back as another letter. resolved: taken in when it
    was sent again, or a duplicate of what had been taken in. purged: shall stay as it is.
    """
    settings = connected_settings()
    with DeadLetters(settings) as letters:
        chains = letters.chains()
    found = list(_wanted(settings, reason, topic, user, since, until, state).of(chains))
    reasons = dict(Counter(str(chains.letters[name].reason) for name in found))
    states = dict(Counter(chains.state(name) for name in found))
    if as_json:
        print_json({"reasons": reasons, "states": states, "letters": [_row(chains, name) for name in found]})
        return
    for name in found:
        _print_row(chains, name)
    console.print(", ".join(f"{name}: {count}" for name, count in (reasons | states).items()) or "no dead letters")


@app.command(epilog="Example: penstock dlq show telemetry.raw/2/1041/0")
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonOption = False) -> None:
    """Show one dead letter with the whole record as it came, and what became of it."""
    with DeadLetters(connected_settings()) as letters:
        chains = letters.chains()
        letter = next(letters.whole([chains.letters[_known(chains, letter_id)]]), None)
    if letter is None:
        raise ConfigError(expected="a dead letter", got="one that has just expired", where=letter_id, do="run `penstock dlq list`")
    shown = {**_row(chains, letter_id), "key": readable(letter.key), "raw": parsed(letter.raw)}
    if as_json:
        print_json(shown)
    else:
        console.out(msgspec.json.format(msgspec.json.encode(shown)).decode())


@app.command(epilog="Example: penstock dlq retry --all --reason internal --dry-run")
def retry(
    letter_id: IdArgument = None,
    *,
    every: EveryOption = False,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Send only what was tried less often than this, its first time included; 2: each letter once.")
    ] = 2,
    because: WhyOption = "",
    dry_run: DryOption = False,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait at most for what becomes of them.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Send letters round again: the record as it came, or a batch of the one event that failed, with the next attempt number.

    With --all, each letter is sent once: what was sent before, and what came back, is left alone unless --max-attempts says otherwise.
    A letter that is named is always sent. What fails again is a new letter of the same chain. The exit code is 1 when some failed again.
    """
    _one_of(letter_id, every=every)
    settings = connected_settings()
    with DeadLetters(settings) as letters:
        chains = letters.chains()
        wanted = _wanted(settings, reason, topic, user, since, until).of(chains)
        names = chains.due(wanted, max_attempts=max_attempts) if letter_id is None else [_known(chains, letter_id)]
        chosen = [chains.letters[name] for name in names]
        if dry_run:
            good, left = sendable(letters.whole(chosen))
            _say_which(chains, good, left, "would be sent again", as_json=as_json)
            return
        marks, left, outcome = _send_again(letters, chosen, because=because, wait_s=wait)
    if as_json:
        print_json({"sent": len(marks), **outcome._asdict(), "left": left})
    else:
        _say_outcome(len(marks), outcome, left)
    if outcome.failed_again:
        raise typer.Exit(1)


@app.command("purge", epilog="Example: penstock dlq purge --all --reason duplicate --until 1d --because 'known client bug'")
def purge_(
    letter_id: IdArgument = None,
    *,
    every: EveryOption = False,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    because: WhyOption = "",
    dry_run: DryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Mark letters as purged: they are not sent again unless named.

    Nothing is deleted: a letter stays on its topic, and `penstock dlq show` shows it, until its retention (30 days) ends.
    """
    _one_of(letter_id, every=every)
    settings = connected_settings()
    with DeadLetters(settings) as letters:
        chains = letters.chains()
    wanted = _wanted(settings, reason, topic, user, since, until).of(chains)
    names = [name for name in wanted if chains.state(name) != "purged"] if letter_id is None else [_known(chains, letter_id)]
    if dry_run:
        _say_which(chains, names, [], "would be marked as purged", as_json=as_json)
        return
    purged = purge(settings, names, reason=because)
    if as_json:
        print_json({"purged": purged})
    else:
        console.print(f"marked as purged: {purged}; they stay on telemetry.dlq until they expire", soft_wrap=True)


def _send_again(letters: DeadLetters, chosen: list[Letter], *, because: str, wait_s: float) -> tuple[list[LetterMark], list[str], Outcome]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("sending again", total=len(chosen))
        marks, left = resend(letters, chosen, reason=because, on_progress=lambda done: bar.update(task, completed=done))
        bar.update(task, description="waiting for what becomes of them")
        return marks, left, outcome_of(letters, marks, wait_s=wait_s)


def _one_of(letter_id: str | None, *, every: bool) -> None:
    if (letter_id is None) == (not every):
        usage(expected="either an ID or --all", got="both" if every else "neither", where="the command line", do="give one of them")


def _wanted(
    settings: Settings,
    reason: ReasonCode | None,
    topic: str | None,
    user: str | None,
    since: str | None,
    until: str | None,
    state: State | None = None,
) -> Wanted:
    return Wanted(
        reason=reason,
        topic=topic,
        user=user,
        since_ms=None if since is None else instant_ms(since),
        until_ms=None if until is None else instant_ms(until, "--until"),
        state=state,
        prefix=settings.topic_prefix,
    )


def _known(chains: Chains, letter_id: str) -> str:
    if letter_id not in chains.letters:
        raise ConfigError(expected="the id of a dead letter", got=letter_id, where="the command line", do="run `penstock dlq list`")
    return letter_id


def _row(chains: Chains, name: str) -> dict[str, object]:
    letter = chains.letters[name]
    fields = ("reason", "expected", "got", "path", "event_id", "attempt", "at_ms")
    return {
        "id": name,
        "state": chains.state(name),
        "tries": chains.tries(name),
        "first": chains.first(name),
        "became": chains.became(name),
        **{field: getattr(letter, field) for field in fields},
    }


def _print_row(chains: Chains, name: str) -> None:
    """Print a letter over two lines, its id whole however narrow the terminal is."""
    letter, state = chains.letters[name], chains.state(name)
    when = f"{datetime.fromtimestamp(letter.at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
    console.print(name, end="", markup=False, soft_wrap=True)
    console.print(f"  [{_COLOURS[state]}]{state}[/]  {letter.reason}  {when}  try {chains.tries(name)}", soft_wrap=True)
    console.print(f"    expected {letter.expected}, got {letter.got}, at {letter.path}", markup=False, soft_wrap=True)
    for child in chains.became(name):
        console.print(f"    came back as {child}", markup=False, soft_wrap=True)


def _say_outcome(sent: int, outcome: Outcome, left: list[str]) -> None:
    console.print(
        f"sent again: {sent}, of these resolved: {outcome.resolved}, failed again: {len(outcome.failed_again)}, "
        f"not worked on yet: {outcome.not_yet}" + (f"; cannot be sent: {len(left)}" if left else ""),
        soft_wrap=True,
    )
    for line in (*outcome.failed_again, *left):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if outcome.not_yet:
        console.print("`penstock dlq list --state retried` shows what becomes of the rest")


def _say_which(chains: Chains, names: Iterable[str], left: list[str], what: str, *, as_json: bool) -> None:
    chosen = list(names)
    if as_json:
        print_json({"dry_run": True, "letters": [_row(chains, name) for name in chosen], "left": left})
        return
    for name in chosen:
        _print_row(chains, name)
    for why in left:
        console.print(f"  {why}", markup=False, soft_wrap=True)
    console.print(f"{what}: {len(chosen)}")
