"""A person at a browser: a client that keeps its cookies, follows links of ours and fills in the hidden form token."""

from __future__ import annotations

import re
from html import unescape
from types import TracebackType
from typing import Any, Self

import httpx2

_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class Browser:
    """One person, logged in or not."""

    def __init__(self, address: str):
        # Without `verify` it would read every certificate authority of the world anew.
        self.client = httpx2.AsyncClient(base_url=address, timeout=20, verify=False)
        self.token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def log_in(self, login: str, password: str = "secret") -> httpx2.Response:
        """Log in as a person does, and remember the token of the forms to come."""
        await self.get("/login")
        answer = await self.post("/login", login=login, password=password)
        await self.get("/")
        return answer

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        answer = await self.client.get(path, **options)
        found = _TOKEN.search(answer.text) if "html" in answer.headers.get("content-type", "") else None
        self.token = unescape(found[1]) if found else self.token
        return answer

    async def post(self, path: str, **fields: Any) -> httpx2.Response:
        """Send a form of ours."""
        return await self.client.post(path, data={"csrf": self.token, **fields})
