"""What every command prints with: the console, JSON, and errors."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from serving.errors import ConfigError, PenstockError, ServiceError

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

_LIBRARIES = {"confluent_kafka": "KafkaException", "redis.exceptions": "RedisError"}


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; messages and dataclasses are taken as they are."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def fail(error: PenstockError) -> NoReturn:
    """Print an error and end: exit code 2 where the command line or a setting is wrong, else 1."""
    errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    raise SystemExit(2 if isinstance(error, ConfigError) else 1)


def usage(*, expected: str, got: str, where: str, do: str) -> NoReturn:
    """End with an error of the command line."""
    raise ConfigError(expected=expected, got=got, where=where, do=do)


def as_expected(error: Exception) -> PenstockError | None:
    """Return an error of a file, of a setting, or of a broker or store that does not answer, as one of ours, None for any other.

    The libraries are looked up, not imported: most commands need neither.
    """
    if isinstance(error, OSError) and error.filename is not None:
        what = "a file that can be read, or written"
        return ConfigError(expected=what, got=str(error.strerror), where=str(error.filename), do="name another, or make it so")
    if _is_from("pydantic", "ValidationError", error):
        return _of_setting(error)
    for module, name in _LIBRARIES.items():
        if _is_from(module, name, error):
            what = "Kafka" if module == "confluent_kafka" else "Redis"
            return ServiceError(expected=f"an answer from {what}", got=str(error), where=_address(what), do="run `penstock status`")
    return None


def _is_from(module: str, name: str, error: Exception) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _of_setting(error: Any) -> ConfigError:
    """Return what is wrong with the first setting that pydantic does not take."""
    first = error.errors()[0]
    expected = str(first["msg"]).removeprefix("Value error, expected ").removeprefix("Input should be ").partition(", got ")[0]
    where = f"PENSTOCK_{'_'.join(map(str, first['loc'])).upper()}"
    return ConfigError(expected=expected, got=repr(first["input"]), where=where, do="correct it, or unset it")


def _address(what: str) -> str:
    """Return where a command looks for the broker or the store, as far as that is known."""
    from serving.connect import current_settings
    from serving.reach import without_password

    try:
        settings = current_settings()
    except PenstockError:
        return "its address"
    return settings.bootstrap_servers if what == "Kafka" else without_password(settings.redis_url)
