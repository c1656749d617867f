"""Remembers the settings that a system was started with, and compares them at the next `penstock up`."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import get_args

from pydantic import SecretStr

from schemas.settings import Settings
from serving.parts import PartSpec, Plan, workers_by_part
from serving.reach import without_password

GIVEN = frozenset(
    {"home", "bootstrap_servers", "redis_url", "topic_prefix", "part", "worker", "workers", "workers_of", "metrics_host", "metrics_port"}
)
"""Settings that the supervisor gives each part itself, whatever the environment says, and `workers_of`, which no part reads."""
SECRET = frozenset(name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation))
_DIGEST_BYTES = 16


def remembered(settings: Settings, *, salt: str) -> dict[str, str]:
    """Return the settings of the parts as text, by name; of a secret only a hash, and nothing for what is not set.

    Examples
    --------
    >>> kept = remembered(Settings(seed=7, redis_password="hunter2"), salt="a")
    >>> kept["seed"], kept["sasl_password"], "hunter2" in kept["redis_password"]
    ('7', '', False)
    """
    return {name: _text(getattr(settings, name), salt) for name in Settings.model_fields if name not in GIVEN}


def differences(
    plan: Plan, *, parts: tuple[PartSpec, ...], bootstrap_servers: str | None, redis_url: str | None, settings: Mapping[str, str]
) -> list[str]:
    """Return, for people, what a running system has otherwise than is wanted now; a secret is named and never shown.

    Numbers of workers are no difference: a running system takes them on.

    Parameters
    ----------
    plan : Plan
        Of the running system.
    parts, bootstrap_servers, redis_url
        What is wanted now, as `penstock up` is asked for it.
    settings : Mapping[str, str]
        As `remembered` returns them now; those that the plan does not know are passed over.
    """
    known_redis = None if plan.redis_port else plan.redis_url
    pairs = (
        ("the parts", " ".join(workers_by_part(plan.parts)), " ".join(workers_by_part(parts))),
        ("--bootstrap-servers", "" if plan.kafka_port else plan.bootstrap_servers, bootstrap_servers or ""),
        ("--redis-url", without_password(known_redis or ""), without_password(redis_url or "")),
    )
    others = [f"{name} {known or 'none'} (now {said or 'none'})" for name, known, said in pairs if known != said]
    if not others and known_redis != redis_url:
        others.append("another user or password in --redis-url")
    if not others and {part.module for part in plan.parts} != {part.module for part in parts}:
        others.append("parts of another make")
    changed = [name for name, known in plan.settings.items() if settings.get(name, known) != known]
    return others + [_difference(name, settings[name], plan.settings[name]) for name in changed]


def _difference(name: str, now: str, running: str) -> str:
    variable = f"PENSTOCK_{name.upper()}"
    return f"another {variable}" if name in SECRET else f"{variable}={running!r} (now {now!r})"


def _text(value: object, salt: str) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return blake2b(f"{salt}\n{value.get_secret_value()}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return str(value)
