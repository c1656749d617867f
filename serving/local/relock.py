"""Write the lock file of the broker anew: `python -m serving.local.relock`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from serving.local.jars import maven_context
from serving.local.lock import LOCK_FILE, Jar, digest

ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")


def resolve_lock() -> list[Jar]:
    """Resolve :data:`ROOTS` with their run-time dependencies, download all of them, and return what was found."""
    from jgo.maven import Dependency

    with tempfile.TemporaryDirectory() as folder:
        context = maven_context(Path(folder))
        roots = []
        for root in ROOTS:
            group, artifact, version = root.split(":")
            roots.append(Dependency(context.project(group, artifact).at_version(version).artifact()))
        named, transitive = context.resolver.resolve(roots)
        jars = []
        for dependency in (*named, *transitive):
            path = dependency.artifact.resolve()
            jars.append(
                Jar(
                    group=dependency.groupId,
                    artifact=dependency.artifactId,
                    version=dependency.version,
                    sha256=digest(path),
                    size=path.stat().st_size,
                )
            )
    return sorted(jars)


def format_lock(jars: list[Jar]) -> str:
    """Return the text of a lock file."""
    head = f"# Jars of {' and '.join(ROOTS)}; written by `python -m serving.local.relock`.\n"
    tables = [
        f'\n[[jar]]\ngroup = "{jar.group}"\nartifact = "{jar.artifact}"\nversion = "{jar.version}"\n'
        f'sha256 = "{jar.sha256}"\nsize = {jar.size}\n'
        for jar in jars
    ]
    return head + "".join(tables)


if __name__ == "__main__":
    LOCK_FILE.write_text(format_lock(resolve_lock()), encoding="utf-8")
