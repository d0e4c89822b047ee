"""Tests, laid out as the packages they test; `tests.servers` holds the real servers they talk to."""
