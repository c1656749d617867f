"""`penstock schema export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from schemas.asyncapi import asyncapi
from schemas.registry import MESSAGES, json_schemas
from serving.cli.output import console, print_json

app = typer.Typer(add_completion=False, help="The contracts, for programs in any language.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `export` a subcommand although it is the only one."""


@app.command(epilog="Example: penstock schema export --out contracts/")
def export(
    out: Annotated[Path | None, typer.Option(help="Folder for one file a message, and asyncapi.json; default: print all.")] = None,
) -> None:
    """Write the JSON Schema of every message, and the AsyncAPI 3.0 document of the whole system."""
    if out is None:
        print_json({"schemas": json_schemas(), "asyncapi": asyncapi()})
        return
    out.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.v{MESSAGES[name].VERSION}.json": schema for name, schema in json_schemas().items()} | {"asyncapi.json": asyncapi()}
    for name, document in files.items():
        (out / name).write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    console.print(f"{len(files)} files in {out}", markup=False)
