"""Fetching mail by POP3: the names that the rest of the house uses.

async with open_session(account) as session:
    async for batch in session.fetch_batches(await session.listing(), **limits):
        ...
    await session.delete(numbers)
    is_deleted = await session.quit()
"""

from core.transport.pop3_account import Pop3Account, Pop3AuthenticationError, Pop3Error
from core.transport.pop3_open import open_session, test_connection
from core.transport.pop3_session import Listed, Pop3Session

__all__ = [
    "Listed",
    "Pop3Account",
    "Pop3AuthenticationError",
    "Pop3Error",
    "Pop3Session",
    "open_session",
    "test_connection",
]
