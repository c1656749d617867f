"""Where the running system is: the settings of every command."""

from __future__ import annotations

from schemas.settings import Settings
from serving.errors import ConfigError, ServiceError
from serving.local.home import Home
from serving.parts import read_plan
from serving.reach import require_broker, without_password
from serving.state import read_state


def current_settings() -> Settings:
    """Return the settings of a command: where the running system of this home is, else what the environment says.

    Raises
    ------
    ServiceError
        If neither says where the broker is; a command never guesses, for another home's system may listen on the standard port.
    ConfigError
        If the environment says otherwise than the home: a command that believed either would act on a system that was not meant.
    """
    settings = Settings()
    home = Home.default()
    known = _known(home, settings)
    if not known and "bootstrap_servers" not in settings.model_fields_set:
        raise ServiceError(
            expected="a running system", got="none", where=str(home.root), do="run `penstock up`, or set PENSTOCK_BOOTSTRAP_SERVERS"
        )
    for name, value in known.items():
        said = getattr(settings, name)
        if name in settings.model_fields_set and said != value:
            raise contradiction(home, name, said, value)
    return settings.model_copy(update={"home": home.root, **known})


def connected_settings() -> Settings:
    """Return the settings of a command whose broker answers.

    Raises
    ------
    ServiceError, ConfigError
        As `current_settings`; and if the broker does not answer within 4 seconds.
    """
    settings = current_settings()
    require_broker(settings, do="run `penstock status`; where the broker is not ours, correct PENSTOCK_BOOTSTRAP_SERVERS")
    return settings


def contradiction(home: Home, name: str, said: str, known: str) -> ConfigError:
    """Return the error of an environment that says otherwise than a home."""
    variable = f"PENSTOCK_{name.upper()}"
    shown, of_home = without_password(said), without_password(known)
    return ConfigError(
        expected=f"{name} {of_home!r}, as the system of this home has it",
        got=f"{variable}={shown!r}" + (", with another user or password" if shown == of_home else ""),
        where=str(home.root),
        do=f"unset {variable}, or set PENSTOCK_HOME to the home of the system that is meant",
    )


def _known(home: Home, settings: Settings) -> dict[str, str]:
    """Return what the home says; of a system that is down, only the prefix, and only where the broker is the same."""
    state, plan = read_state(home), read_plan(home)
    if state is not None:
        return {"bootstrap_servers": state.bootstrap_servers, "redis_url": state.redis_url, "topic_prefix": state.topic_prefix}
    if plan is not None and "bootstrap_servers" in settings.model_fields_set and plan.bootstrap_servers == settings.bootstrap_servers:
        return {"topic_prefix": plan.topic_prefix}
    return {}
