"""`penstock deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.output import console
from serving.manifests import kubernetes, with_parts
from serving.parts import choose_parts, wanted_workers, workers_by_part

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: penstock deploy --workers feed=8")
def deploy(
    *,
    workers: Annotated[
        str | None, typer.Option(help="Processes of a part, such as feed=8; else PENSTOCK_WORKERS_OF, else topics.yaml.")
    ] = None,
    compose: Annotated[Path, typer.Option(help="The compose file whose parts are replaced.")] = Path("docker-compose.yml"),
    manifests: Annotated[Path, typer.Option(help="Where the Kubernetes manifests of the parts go.")] = Path("deploy/kubernetes/parts.yaml"),
) -> None:
    """Write the parts of topics.yaml, with so many workers each, into docker-compose.yml and into Kubernetes manifests.

    In compose each worker is a service of its own; in Kubernetes a part is a StatefulSet, and a worker takes its number from its pod's
    ordinal; a group is a Deployment.
    """
    parts = choose_parts(workers=wanted_workers(workers))
    compose.write_text(with_parts(compose.read_text(encoding="utf-8"), parts, where=str(compose)), encoding="utf-8")
    manifests.write_text(kubernetes(workers_by_part(parts)), encoding="utf-8")
    console.print(f"{len(parts)} processes in {compose} and {manifests}", markup=False)
