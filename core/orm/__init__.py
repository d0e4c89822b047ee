"""Records, their registry and their database: Tortoise ORM behind a few doors of our own."""
