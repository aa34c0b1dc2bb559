"""Settings that the command line replaces."""

from __future__ import annotations

from pydantic import ValidationError

from gateway.config.cross_checks import conflicts
from gateway.config.models import Config
from gateway.errors import ConfigurationError


def override_binds(config: Config, bind: list[str] | None, admin_bind: list[str] | None) -> Config:
    """Return the configuration with the addresses from the command line.

    Raises:
        ConfigurationError: One of them is not HOST:PORT, or two listeners have the same address.
    """
    changes = {name: value for name, value in (("bind", bind), ("admin_bind", admin_bind)) if value}
    if not changes:
        return config
    try:
        type(config.server).model_validate(changes)
    except ValidationError as error:
        problems = (
            f"--{str(detail['loc'][0]).replace('_', '-')}: {detail['ctx'].get('error', detail['msg'])}"
            for detail in error.errors()
        )
        raise ConfigurationError(*problems) from None
    config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    clashes = [f"{'.'.join(map(str, place))}: {text}" for place, text in conflicts(config)]
    if clashes:
        raise ConfigurationError(*clashes)
    return config
