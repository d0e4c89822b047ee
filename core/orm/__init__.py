"""Records, their registry and their database: Tortoise ORM behind a few doors of our own."""

from core.lean import lean_import

with lean_import():
    import tortoise  # noqa: F401 - whoever imports it next finds it loaded
