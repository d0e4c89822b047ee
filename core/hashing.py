"""Hashes of what people and programs log in with: argon2id (RFC 9106), away from the event loop, and few at a time.

One hash takes 64 MB and a good part of a tenth of a second, so a crowd of guesses waits in line here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_AT_ONCE = 2
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$Hx7IfRGC0qNJKHTpBGNkTnTV9fN1wYkbLJ5N0Wm3QnA"
"""A hash that no secret has: checked where there is nothing to check, so that both answers take as long."""

Result = TypeVar("Result")


class Hasher:
    """Makes and checks hashes on threads of its own."""

    def __init__(self, at_once: int = _AT_ONCE):
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="hasher")

    @cached_property
    def _argon2(self) -> PasswordHasher:
        from argon2 import PasswordHasher  # Nearly no command needs it.

        return PasswordHasher()

    def close(self) -> None:
        """End the threads once what they work on is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, secret: str) -> str:
        """Return a new hash of a secret."""
        return await self._away(lambda: self._argon2.hash(_as_bytes(secret)))

    async def matches(self, stored: str, secret: str) -> bool:
        """Tell whether a secret has this hash; an empty `stored` is nobody's, and found out as slowly."""
        return await self._away(lambda: self._verify(stored or _NOBODY, secret)) and bool(stored)

    def _verify(self, stored: str, secret: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            return self._argon2.verify(stored, _as_bytes(secret))
        except (VerificationError, InvalidHashError):
            return False

    async def _away(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _as_bytes(secret: str) -> bytes:
    """Return the secret as UTF-8, also where it holds what is no character."""
    return secret.encode("utf-8", "surrogatepass")
