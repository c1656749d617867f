"""Settings of every process, from the environment (`PENSTOCK_*`); the contract between the supervisor and its parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, Json, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.feed import DEFAULT_AGE
from schemas.validity import EARLIEST_MS, LATEST_MS

CHECKOUT = Path(__file__).resolve().parent.parent
_TOPIC_OR_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,249}\*?|\*")


class Settings(BaseSettings):
    """What a process must know of its surroundings; every field can be set as `PENSTOCK_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", extra="ignore")

    home: Path = CHECKOUT / ".penstock"
    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    topic_prefix: str = ""
    part: str = "part"
    worker: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    workers_of: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    seed: int = 0
    token_secret: SecretStr | None = None
    future_skew_ms: int = Field(default=300_000, ge=0)
    earliest_ms: int = Field(default=EARLIEST_MS, ge=0, le=LATEST_MS)
    id_capacity: int = Field(default=10_000_000, ge=4)
    id_horizon_s: int = Field(default=86_400, gt=0, le=432_000)
    exact_below: int = 20_000
    checkpoints: str = ""
    default_age: int = Field(default=DEFAULT_AGE, ge=0, le=150)
    reply_topics: str = ""
    drift_detector: Literal["ADWIN", "PageHinkley", "none"] = "ADWIN"
    drift_params: Json[dict[str, Any]] = Field(default="{}", validate_default=True)
    challenger: str = Field(default="", pattern=r"^(river(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*)?$")
    challenger_params: Json[dict[str, Any]] = Field(default="{}", validate_default=True)
    challenger_share: float = Field(default=0.2, gt=0, le=1)

    @field_validator("reply_topics")
    @classmethod
    def _names_topics(cls, value: str) -> str:
        for name in filter(None, map(str.strip, value.split(","))):
            if not _TOPIC_OR_PREFIX.fullmatch(name):
                message = f"expected names of topics, or prefixes ending in *, separated by commas, got {name!r}"
                raise ValueError(message)
        return value

    # An error of one field shows that field's input only; one of the whole model would show all of it, secrets too.
    @field_validator("workers")
    @classmethod
    def _worker_is_one_of_them(cls, value: int, info: ValidationInfo) -> int:
        worker = info.data.get("worker", 0)
        if value <= worker:
            message = f"expected more than {worker}, the number of the worker (PENSTOCK_WORKER), got {value}"
            raise ValueError(message)
        return value

    @property
    def reply_topic_names(self) -> list[str]:
        """Names of topics, or prefixes that end in `*`, to which answers may go beside `feed.responses`."""
        return [name for name in map(str.strip, self.reply_topics.split(",")) if name]

    def kafka(self) -> dict[str, str]:
        """Return the connection properties of librdkafka."""
        properties = {"bootstrap.servers": self.bootstrap_servers, "security.protocol": self.security_protocol}
        optional = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": None if self.sasl_password is None else self.sasl_password.get_secret_value(),
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
        }
        return properties | {name: str(value) for name, value in optional.items() if value is not None}
