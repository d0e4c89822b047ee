"""Configuration: `config.yaml`, then the environment, typed and with the origin of each value."""

from core.lean import lean_import

with lean_import():
    import yaml  # noqa: F401 - whoever imports it next finds it loaded

from core.config.settings import Settings
from core.config.sources import Configuration, Origin, load_configuration

__all__ = ["Configuration", "Origin", "Settings", "load_configuration"]
