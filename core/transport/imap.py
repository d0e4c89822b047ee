"""Fetching mail by IMAP: the names that the rest of the house uses.

async with open_session(account) as session:
    mailbox = await session.select("INBOX")
    async for item in mailbox.fetch(await mailbox.uids()):
        ...
"""

from core.transport.imap_account import ImapAccount, ImapAuthenticationError, ImapError
from core.transport.imap_list import Folder
from core.transport.imap_mailbox import ImapSession, Mailbox
from core.transport.imap_open import open_mailbox, open_session, test_connection
from core.transport.mailbox_items import FetchedMail, TooLarge, Unfetchable

__all__ = [
    "FetchedMail",
    "Folder",
    "ImapAccount",
    "ImapAuthenticationError",
    "ImapError",
    "ImapSession",
    "Mailbox",
    "TooLarge",
    "Unfetchable",
    "open_mailbox",
    "open_session",
    "test_connection",
]
