"""The shipped addons are tested on the same private servers as core."""

pytest_plugins = ["tests.servers.fixtures"]
