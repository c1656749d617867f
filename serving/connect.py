"""Where the running system is: the settings of every command."""

from __future__ import annotations

from redis import Redis

from schemas.settings import Settings
from serving.errors import ServiceError
from serving.local.home import Home
from serving.state import read_state


def current_settings() -> Settings:
    """Return the settings of a command: the environment's, else those of the running system of this home.

    Raises
    ------
    ServiceError
        If neither says where the broker is; a command never guesses, for another home's system may listen on the standard port.
    """
    settings = Settings()
    home = Home.default()
    found: dict[str, object] = {"home": home.root}
    state = read_state(home)
    if state is None and "bootstrap_servers" not in settings.model_fields_set:
        raise ServiceError(
            expected="a running system", got="none", where=str(home.root), do="run `penstock up`, or set PENSTOCK_BOOTSTRAP_SERVERS"
        )
    if state is not None:
        found |= {"bootstrap_servers": state.bootstrap_servers, "redis_url": state.redis_url}
    return settings.model_copy(update={name: value for name, value in found.items() if name not in settings.model_fields_set})


def redis_client(settings: Settings) -> Redis:
    """Return a client of the store for commands."""
    password = settings.redis_password
    return Redis.from_url(
        settings.redis_url,
        username=settings.redis_username,
        password=None if password is None else password.get_secret_value(),
        socket_timeout=10,
    )
