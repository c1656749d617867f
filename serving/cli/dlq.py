"""`penstock dlq list|show|retry`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from schemas.dlq import DeadLetter, ReasonCode
from serving.cli.output import JsonOption, console, print_json, usage
from serving.cli.topics import parsed, readable
from serving.connect import current_settings
from serving.dlq import read_letters, resend, sendable
from serving.errors import ConfigError

app = typer.Typer(add_completion=False, help="Dead letters: records set aside, unchanged, with the reason.", no_args_is_help=True)

ReasonOption = Annotated[ReasonCode | None, typer.Option(help="Only letters with this reason.")]


@app.command("list", epilog="Example: penstock dlq list --reason future_dated")
def list_(reason: ReasonOption = None, as_json: JsonOption = False) -> None:
    """Show all dead letters, oldest first, and how many there are of each reason."""
    letters = _letters(reason)
    reasons = dict(Counter(str(letter.reason) for letter in letters.values()))
    if as_json:
        print_json({"reasons": reasons, "letters": [_row(letter) for letter in letters.values()]})
        return
    table = Table("letter", "reason", "expected", "got", "at", "when", "attempt")
    for letter_id, letter in letters.items():
        when = f"{datetime.fromtimestamp(letter.at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(letter_id, letter.reason, letter.expected, letter.got, letter.path, when, str(letter.attempt))
    console.print(table)
    console.print(", ".join(f"{name}: {count}" for name, count in reasons.items()) or "no dead letters")


@app.command(epilog="Example: penstock dlq show telemetry.raw/2/1041/0")
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonOption = False) -> None:
    """Show one dead letter with the whole record as it came."""
    letter = _one(letter_id)
    shown = {**_row(letter), "key": readable(letter.key), "raw": parsed(letter.raw)}
    if as_json:
        print_json(shown)
    else:
        console.out(msgspec.json.format(msgspec.json.encode(shown)).decode())


@app.command(epilog="Example: penstock dlq retry --all --reason internal")
def retry(
    letter_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every letter, or every one with the given --reason.")] = False,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a letter round again: the record as it came, or a batch of the one event that failed, with the next attempt number."""
    if (letter_id is None) == (not every):
        usage(expected="either an ID or --all", got="both" if every else "neither", where="the command line", do="give one of them")
    letters, left = sendable(_letters(reason).values()) if letter_id is None else ([_one(letter_id)], [])
    sent = resend(current_settings(), letters)
    if as_json:
        print_json({"sent": sent, "left": left})
    else:
        console.print(f"sent again: {sent}" + (f", left: {len(left)}" if left else ""))
        for why in left:
            console.print(f"  {why}", markup=False)


def _letters(reason: ReasonCode | None) -> dict[str, DeadLetter]:
    letters = read_letters(current_settings())
    return {name: letter for name, letter in letters.items() if reason is None or letter.reason == reason}


def _one(letter_id: str) -> DeadLetter:
    letters = _letters(None)
    if letter_id not in letters:
        raise ConfigError(expected="the id of a dead letter", got=letter_id, where="the command line", do="run `penstock dlq list`")
    return letters[letter_id]


def _row(letter: DeadLetter) -> dict[str, object]:
    fields = ("reason", "expected", "got", "path", "event_id", "attempt", "at_ms")
    return {"id": letter.letter_id, **{name: getattr(letter, name) for name in fields}}
