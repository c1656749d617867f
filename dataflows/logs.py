"""The log of a part: JSON lines in a file, the standard library's logging routed in."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Hashable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import orjson
import structlog
from structlog.stdlib import BoundLogger as Log
from structlog.typing import EventDict, Processor

__all__ = ["Log", "Quiet", "open_log"]

QUIET_S = 10.0
"""A fault that goes on is logged this often; a client without a broker reports some twenty a second."""

_MAX_BYTES = 50_000_000
_KEPT = 2


class Quiet:
    """Lets each fault be logged once in ten seconds, however often it comes.

    Parameters
    ----------
    clock
        Monotonic seconds.

    Examples
    --------
    >>> quiet = Quiet(clock=iter([0.0, 9.9, 9.9, 10.0]).__next__)
    >>> [quiet.lets("a"), quiet.lets("a"), quiet.lets("b"), quiet.lets("a")]
    [True, False, True, True]
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._logged_at: dict[Hashable, float] = {}

    def lets(self, fault: Hashable) -> bool:
        """Return whether a fault may be logged now, and count it as logged if so."""
        now = self.clock()
        may = now - self._logged_at.get(fault, float("-inf")) >= QUIET_S
        if may:
            self._logged_at[fault] = now
        return may


def open_log(part: str, path: Path) -> Log:
    """Send everything that this process logs to `path` as JSON lines, and return its logger.

    Lines go to standard error too, unless that is the same file, as it is under the supervisor.

    Parameters
    ----------
    part : str
        Stands in every line.
    path : Path
        The file; turned over at 50 MB, two older ones are kept.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _line],
    )
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8")]
    if not os.path.samestat(os.fstat(2), path.stat()):
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=Log,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    log: Log = structlog.get_logger("penstock").bind(part=part)
    return log


def _line(_logger: object, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
