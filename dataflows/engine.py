"""Runs one bytewax worker in this process; the typed side of an engine that has no types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shutil import rmtree

from bytewax import _bytewax
from bytewax.dataflow import Dataflow

_run_main: Callable[..., None] = _bytewax.run_main
_recovery_config: Callable[[str], object] = _bytewax.RecoveryConfig
_init_db_dir: Callable[[Path, int], None] = _bytewax.init_db_dir


def run_to_end(flow: Dataflow, *, epoch: timedelta, store: Path | None) -> None:
    """Run a flow in this thread until its sources end.

    Parameters
    ----------
    flow : Dataflow
        What to run.
    epoch : timedelta
        Time between snapshots.
    store : Path, optional
        Folder of the snapshots, made owner-only when it is new; None: state is not kept.
    """
    _run_main(flow, epoch_interval=epoch, recovery_config=None if store is None else _recovery_config(str(_made(store))))


def _made(store: Path) -> Path:
    # The folder gets its name only when it is complete: a half-made one could never be opened again.
    if not store.exists():
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = store.with_name(f".{store.name}.new")
        rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _init_db_dir(fresh, 1)
        fresh.rename(store)
    return store
