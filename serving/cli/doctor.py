"""`penstock doctor`."""

from __future__ import annotations

import typer
from rich.table import Table

from serving.cli.output import JsonOption, console, print_json
from serving.local.doctor import diagnose

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: penstock doctor --json")
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has and lacks for running Penstock, and how to get it; exit code 1 when something is missing."""
    findings = diagnose()
    if as_json:
        print_json(findings)
    else:
        table = Table("", "what", "found", "wanted", "do")
        for finding in findings:
            table.add_row("[green]ok[/]" if finding.ok else "[bold red]no[/]", finding.name, finding.found, finding.wanted, finding.fix)
        console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
