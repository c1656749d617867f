"""Finds and ends the parts that a killed supervisor left running."""

from __future__ import annotations

import contextlib
import os

import psutil

from serving.local.home import Home
from serving.local.processes import ProcessMark
from serving.parts import HOME_MARK, STOP_WITHIN_S


def stop_leftovers(home: Home) -> list[str]:
    """Stop parts that a killed supervisor left behind, and return their names."""
    left = _leftovers(home)
    for _, mark in left:
        _ask_to_end(mark)
    for _, mark in left:
        mark.end(STOP_WITHIN_S)
    return sorted({name for name, _ in left})


def _leftovers(home: Home) -> list[tuple[str, ProcessMark]]:
    """Return the running parts of a home, found by the mark in their environment."""
    found: list[tuple[str, ProcessMark]] = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.uids().real != os.getuid():
                continue
            variables = process.environ()
        except psutil.Error:
            continue
        mark = ProcessMark.of(process.pid) if variables.get(HOME_MARK) == str(home.root) else None
        if mark is not None:
            found.append((variables.get("PENSTOCK_PART", "part"), mark))
    return found


def _ask_to_end(mark: ProcessMark) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        if mark.alive():
            psutil.Process(mark.pid).terminate()
