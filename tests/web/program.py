"""A program that calls the API with a bearer token of a user's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from core.runtime import get_model

ALL = ("read", "write", "mail")


@asynccontextmanager
async def program_of(address: str, login: str, *scopes: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that acts for a user, with a token of these scopes; by default all but `admin`."""
    user = await get_model("User").get(login=login)
    _, text = await get_model("ApiToken").issue(user, "a program", scopes or ALL)
    headers = {"Authorization": f"Bearer {text}"}
    # Without `verify` it would read every certificate authority of the world anew.
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=20, verify=False) as client:
        yield client
