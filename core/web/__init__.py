"""The web room: pages and JSON for people and programs, over FastAPI."""
