"""Records of any model over HTTP: lists, one record, making, changing and deleting it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def test_a_record_is_made_read_changed_and_deleted(visitor: Visitor, world: World) -> None:
    ann = (await visitor("ann")).client
    made = await ann.post("/api/records/Ticket", json={"name": "Lamp", "amount": "12.5", "contact": world.contact.id})
    assert made.status_code == 201, made.text
    lamp = made.json()
    assert made.headers["location"] == f"/api/records/Ticket/{lamp['id']}"
    assert (lamp["amount"], lamp["stage"], lamp["display_name"]) == ("12.50", "new", "Lamp")
    assert lamp["contact"] == {"id": world.contact.id, "display_name": "Carla Customer"}
    assert lamp["company"]["id"] == world.company.id, "nobody said so, and it is the caller's"
    read = await ann.get(made.headers["location"])
    assert read.json() == lamp
    assert read.headers["etag"] == made.headers["etag"]
    changed = await ann.patch(made.headers["location"], json={"stage": "done", "contact": None})
    assert (changed.status_code, changed.json()["stage"], changed.json()["contact"]) == (200, "done", None)
    assert changed.headers["etag"] != made.headers["etag"]
    assert (await ann.delete(made.headers["location"])).status_code == 204
    assert (await ann.get(made.headers["location"])).status_code == 404
