"""`penstock doctor`."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from serving.checkup import check_up
from serving.cli.output import JsonOption, console, print_json
from serving.local.doctor import diagnose
from serving.local.home import Home

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: penstock doctor --json")
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has and lacks for running Penstock, and how to get it; exit code 1 when something is missing.

    Where a system runs, or PENSTOCK_BOOTSTRAP_SERVERS names a broker: also whether broker and store answer, are new enough and agree with
    topics.yaml, how far the clocks differ, and what stays silent in the data (`!!`).
    """
    home = Home.default()
    findings = [*diagnose(home), *check_up(home)]
    if as_json:
        print_json(findings)
    else:
        table = Table()
        for heading in ("", "what", "found", "wanted", "do"):
            table.add_column(heading, overflow="fold")
        for finding in findings:
            mark = "[bold red]no[/]" if not finding.ok else "[yellow]!![/]" if finding.fix else "[green]ok[/]"
            table.add_row(mark, *(escape(text) for text in (finding.name, finding.found, finding.wanted, finding.fix)))
        console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
