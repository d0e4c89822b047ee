"""Configuration: `config.yaml`, then the environment, typed and with the origin of each value."""

from core.config.settings import Settings
from core.config.sources import Configuration, Origin, load_configuration

__all__ = ["Configuration", "Origin", "Settings", "load_configuration"]
